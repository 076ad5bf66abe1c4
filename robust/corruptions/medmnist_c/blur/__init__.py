"""Blur of MedMNIST-C."""
