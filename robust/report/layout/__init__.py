"""Sections of a report and their order, before any format renders them."""
