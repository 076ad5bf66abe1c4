"""How many instances of a bag must change."""
