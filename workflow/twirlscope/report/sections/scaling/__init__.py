"""Scaling: families of trainings, their power laws, comparisons of learned and built-in symmetry."""
