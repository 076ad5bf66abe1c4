"""What Lightning is told: what it shows, and on which processes it trains."""
