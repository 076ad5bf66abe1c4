"""Coverage of the intervals of variance components over designs that people have."""
