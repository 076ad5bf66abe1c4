"""Duplicates: images that show one picture, found among all images of a data set."""
