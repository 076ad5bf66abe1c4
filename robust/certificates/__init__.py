"""Certificates: proven lower bounds on robustness. One idea, one file, one paper."""
