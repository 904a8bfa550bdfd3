"""Symmetry inside a network: how the features of its modules rotate, and where its equivariance error is made."""
