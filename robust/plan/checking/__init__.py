"""Checks of a plan that need no torch: names, fields and gates, read from the sources."""
