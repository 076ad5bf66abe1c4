"""One page over all runs, comparisons and sweeps below a folder; loads no torch."""

from __future__ import annotations

from robust.report.overview.collect import Overview as Overview
from robust.report.overview.collect import collect_runs as collect_runs
from robust.report.overview.collect import overview_values as overview_values
from robust.report.overview.document import is_overview as is_overview
from robust.report.overview.document import render_overview as render_overview
