"""Drafts a plan from what a user has: looks at images, tables and models, and marks guesses."""
