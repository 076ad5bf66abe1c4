"""Hugging Face: image classifiers of transformers, hub names, and folders as the hub keeps them."""
