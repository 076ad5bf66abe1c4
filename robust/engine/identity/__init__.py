"""Whether a run that goes on is the same run: its images, its networks, its threads."""
