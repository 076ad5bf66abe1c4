"""Networks of our own, built from nothing or around another network."""
