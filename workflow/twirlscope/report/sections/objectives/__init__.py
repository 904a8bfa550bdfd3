"""Objectives at equal cost: comparisons, section."""
