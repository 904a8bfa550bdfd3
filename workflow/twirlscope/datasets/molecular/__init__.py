"""Molecules and frames: what several datasets of molecules share."""
