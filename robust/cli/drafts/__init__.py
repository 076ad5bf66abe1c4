"""The command that drafts a plan, and what it asks at a terminal."""
