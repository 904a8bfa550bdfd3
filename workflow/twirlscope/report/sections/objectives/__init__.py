"""Objectives at equal cost: comparisons, intervals over seeds, section."""
