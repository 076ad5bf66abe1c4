"""The database of a run: its tables with their checksums, its file, its repair."""
