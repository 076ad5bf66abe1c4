"""Tables of labels: one file for each question that is asked of them."""
