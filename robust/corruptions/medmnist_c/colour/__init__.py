"""Changes of brightness, contrast and colour of MedMNIST-C."""
