"""Attackers with less knowledge or other means: universal, patch, transfer, decision-based."""
