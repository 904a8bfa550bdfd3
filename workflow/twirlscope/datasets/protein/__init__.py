"""Chains of proteins: what several datasets of backbones share."""
