"""MONAI: its networks by name, and bundles for 2-D classification."""
