"""Segmenters: the adapter to dense logits, sliding windows, loading."""
