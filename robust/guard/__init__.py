"""A detector in use: fitted on an attack, saved, loaded, and run on new images."""

from __future__ import annotations

from robust.guard.artifact import GuardArtifact as GuardArtifact
from robust.guard.fit import fit_detector as fit_detector
from robust.guard.guard import Guard as Guard
