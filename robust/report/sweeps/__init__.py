"""The page over the models of a sweep: document, tables, figures, files; loads no torch."""

from __future__ import annotations

from robust.report.sweeps.write import SWEEP_FILES, print_sweep, render_sweep, write_sweep

__all__ = ["SWEEP_FILES", "print_sweep", "render_sweep", "write_sweep"]
