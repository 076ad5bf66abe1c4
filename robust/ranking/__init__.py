"""Ranks unlabelled images: which to label next, by what a model says of them."""

from robust.ranking.rank import RankedImage, RankedImages, rank_images

__all__ = ["RankedImage", "RankedImages", "rank_images"]
