"""Scores of outlines: Dice, IoU, surface Dice, HD95 and volumes, by structure and by patient."""
