"""Layers, base classes of models, and neighbour lists."""
