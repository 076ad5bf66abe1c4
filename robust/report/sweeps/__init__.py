"""The page over the models of a sweep: document, tables, figures, files; loads no torch."""

from __future__ import annotations

from robust.report.sweeps.write import print_sweep, write_sweep

__all__ = ["print_sweep", "write_sweep"]
