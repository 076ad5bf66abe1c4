"""Detectors within an audit: population, features, cross-fitting, evaluation, controls."""
