"""Minimum-norm attacks: they look for the nearest adversarial image and take no eps."""
