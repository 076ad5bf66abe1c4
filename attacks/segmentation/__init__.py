"""Attacks on segmenters: they look at single pixels. Of logits `(n, k)` a case is one pixel."""
