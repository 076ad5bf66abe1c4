"""Frozen features with a linear head beside a fine-tuned network."""
