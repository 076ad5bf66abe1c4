"""What a training minimises and what val measures: of classes, of outlines."""
