"""Detectors that measure how far an image lies from the manifold of clean data."""
