"""Smoothed classifiers: certified by votes under noise, and attacked through the same noise."""
