"""Masks of images, from files."""
