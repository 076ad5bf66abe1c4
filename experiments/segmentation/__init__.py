"""Segmenters under attack: published networks, trained ones, and what papers print."""
