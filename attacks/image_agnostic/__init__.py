"""Image-agnostic attacks: one universal perturbation or patch for every image."""
