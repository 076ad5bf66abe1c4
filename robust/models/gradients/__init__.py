"""Gradients of a network: errors of the backward pass, parts that gradients pass."""
