"""Estimators from inner products, samples and Ritz values, in NumPy alone: no model, no file."""
