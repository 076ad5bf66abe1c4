"""Statistics on arrays: scores, cluster bootstrap, paired differences, groups, worst case."""
