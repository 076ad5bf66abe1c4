"""Training of the head alone."""
