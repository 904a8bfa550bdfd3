"""Numbers from inner products, samples and Ritz values; NumPy only: no model, no file."""
