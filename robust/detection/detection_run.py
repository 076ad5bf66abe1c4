"""`DetectionRun`: fitted detectors within a run, with the feature log and the runner."""

from __future__ import annotations

from dataclasses import dataclass

from detectors import FeatureReader
from robust.detection.factory import DetectorSuite
from robust.detection.feature_log import FeatureLog
from robust.engine.run_store import RunStore
from robust.engine.runner import Runner
from robust.plan.spec import AuditSpec, DetectionSpec
from robust.tasks.contract import Task


@dataclass(frozen=True)
class DetectionRun:
    """Fitted detectors within a run, whose images' features are recorded."""

    suite: DetectorSuite
    log: FeatureLog
    reader: FeatureReader
    """From images to all features that the detectors read."""
    runner: Runner
    task: Task
    spec: DetectionSpec
    audit: AuditSpec

    @property
    def store(self) -> RunStore:
        """The run's store."""
        return self.log.store
