"""Drafts a plan from what a user has: looks at images, tables and model files, and marks guesses."""
