"""Statistics on arrays: scores, intervals by group, paired differences, groups, worst case."""
