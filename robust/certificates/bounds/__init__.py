"""Networks as graphs, and linear and interval bounds of all their units."""
