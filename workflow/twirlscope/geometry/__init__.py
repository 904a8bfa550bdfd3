"""Rotations, and how tensors, grids, stresses and cells transform under them."""
