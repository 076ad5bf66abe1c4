"""Workers: processes here or on a cluster that attack the chunks of a run as they become free."""
