"""Numbers, names and sentences of a report as plain text."""
