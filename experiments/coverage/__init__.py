"""How often intervals, gates and promises hold what they say, by simulation."""
