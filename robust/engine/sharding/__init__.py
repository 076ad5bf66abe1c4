"""Shards: a run cut into parts that many machines attack, and what they all begin with."""
