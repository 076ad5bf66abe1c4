"""Noise of MedMNIST-C."""
