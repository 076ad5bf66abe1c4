"""How much of the spread of a number over models is seed, fold, training images or machine."""

from __future__ import annotations

from robust.metrics.variance_components.components import (
    variance_components as variance_components,
)
