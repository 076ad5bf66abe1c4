"""Masks: class numbers or structures of each pixel, from files."""
