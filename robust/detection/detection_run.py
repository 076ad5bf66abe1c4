"""`DetectionRun`: all that a run holds once its detectors have learned."""

from __future__ import annotations

from dataclasses import dataclass

from detectors import FeatureReader
from robust.detection.factory import DetectorSuite
from robust.detection.feature_log import FeatureLog
from robust.engine.goal import Goal
from robust.engine.runner import Runner
from robust.plan.spec import AuditSpec, DetectionSpec


@dataclass(frozen=True)
class DetectionRun:
    """Detectors within a run: they have learned, and the features of its images are recorded."""

    suite: DetectorSuite
    log: FeatureLog
    reader: FeatureReader
    """From images to all features that the detectors read."""
    runner: Runner
    goal: Goal
    spec: DetectionSpec
    audit: AuditSpec
