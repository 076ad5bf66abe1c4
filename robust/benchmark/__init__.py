"""Speed of attacks against other libraries."""
