"""Logs finished audits to MLflow: parameters, numbers with intervals, report; loads no torch."""

from __future__ import annotations

from robust.tracking.server import require_tracking, track_report

__all__ = ["require_tracking", "track_report"]
