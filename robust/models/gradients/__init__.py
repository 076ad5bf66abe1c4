"""Gradients through a model: without any, made safe to sum, or straight through what rounds."""
