"""Molecules and frames: code shared by several datasets of molecules."""
