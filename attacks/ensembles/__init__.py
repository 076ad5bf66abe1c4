"""Ensembles of attacks: each takes the cases, or the images, that another left."""
