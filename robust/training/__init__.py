"""Trains classifiers by a recipe; the only package that imports Lightning."""
