"""Recipe and cases to a trained classifier; the one room that knows Lightning."""
