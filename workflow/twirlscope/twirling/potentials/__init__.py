"""Potentials that are not trained here: predictions of an external calculator, and their measurement."""
