"""Which results of a report answer which points of a text: laws, standards, guidance."""
