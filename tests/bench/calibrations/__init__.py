"""Calibrations: simulations with a known truth, one module per kind of interval."""
