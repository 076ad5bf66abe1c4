"""LabelOrder criteria: one idea, one file, one paper."""
