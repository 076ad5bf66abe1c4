"""Synthetic medical images, drawn by a program."""
