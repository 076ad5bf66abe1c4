"""Sweeps: many models of one grid, trained, audited and compared."""
