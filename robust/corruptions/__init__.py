"""Corruptions: what acquisition, storage and movement do to images. One idea, one file."""
