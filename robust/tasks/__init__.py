"""What a model is asked: classification, segmentation. One file a task."""
