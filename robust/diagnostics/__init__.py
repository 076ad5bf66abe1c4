"""Warnings about an audit: evidence from the run and from a probe of the model, and checks."""
