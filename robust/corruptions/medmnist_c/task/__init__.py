"""Corruptions of MedMNIST-C that belong to a task: deposits, bubbles, corners, letters, gamma."""
