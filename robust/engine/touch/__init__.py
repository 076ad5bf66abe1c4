"""Where attacks may touch: a part of each image, or some instances of a bag."""
