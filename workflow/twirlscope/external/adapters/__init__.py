"""Evaluation of many structures in one call, one module per package; a worker runs them with the package's Python."""
