"""The per-case table of a run: a line for each case and attack, or for each score of an outline."""
