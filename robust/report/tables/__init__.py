"""Tables of a report as values, rendered by every format."""
