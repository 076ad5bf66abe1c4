"""A detector in use: fitted on an attack, saved, loaded, and run on new images."""

from __future__ import annotations

from robust.plan.code import require_own_packages

require_own_packages()

from robust.guard.artifact import GuardArtifact as GuardArtifact  # noqa: E402
from robust.guard.fit import fit_detector as fit_detector  # noqa: E402
from robust.guard.guard import Guard as Guard  # noqa: E402
