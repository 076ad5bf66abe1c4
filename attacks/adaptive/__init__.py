"""Adaptive attacks (Tramer et al. 2020, arXiv 2002.08347): attackers who know a detector."""
