"""The process of a command: its streams, the signals that end it, errors as exit codes."""
