"""Curvature of both parts of the loss: eigenvalues, condition numbers, densities."""
