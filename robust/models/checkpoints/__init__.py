"""Checkpoints as trainers leave them: opened without running code, to the names of a network."""
