"""Gradients of both parts of the loss: norms, directions, layers, distance to symmetric parameters."""
