"""Comparison of two runs on the same cases: `robust compare`."""
