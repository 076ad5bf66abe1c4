"""Feature-space detectors of adversarial images: one idea, one file, one paper."""
