"""Attacks on segmenters: they look at each pixel, and work on dense logits alone."""
