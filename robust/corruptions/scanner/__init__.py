"""What scanners, cameras and archives do to images. One effect, one file."""
