"""Potentials that were not trained here: how far from equivariant are they, and is that more than their floor?"""
