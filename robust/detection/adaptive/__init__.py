"""Adaptive attacks: attackers that know the detector."""
