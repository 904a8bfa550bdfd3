"""Protein chains: code shared by several datasets of backbones."""
