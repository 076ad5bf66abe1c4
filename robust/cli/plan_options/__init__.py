"""Options that several commands share, and how they are laid over a plan or a recipe."""
