"""Datasets, plug-ins: one file each; `molecular/` and `protein/` hold shared code."""
