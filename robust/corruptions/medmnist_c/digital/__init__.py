"""Digital corruptions of MedMNIST-C: compression and resolution."""
