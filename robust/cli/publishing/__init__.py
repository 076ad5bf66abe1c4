"""Commands whose output others read: a page over all runs, schemas for editors."""
