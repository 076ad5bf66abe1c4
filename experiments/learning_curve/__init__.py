"""Learning curves: coverage where the law holds, two Gaussians, and PneumoniaMNIST."""
