"""Detectors within an audit: population, features, cross-fitting, evaluation, controls."""

from robust.plan.code import require_own_packages

require_own_packages()
