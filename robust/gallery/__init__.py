"""Example images of a run."""
