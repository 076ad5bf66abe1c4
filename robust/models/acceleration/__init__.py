"""Faster forward and backward passes for the attack search, and memory."""
