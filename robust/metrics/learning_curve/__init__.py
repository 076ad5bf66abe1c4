"""A measure against the number of training images, and how many a wanted value takes."""

from __future__ import annotations

from robust.metrics.learning_curve.curve import fit_learning_curve as fit_learning_curve
