"""Declarations of stored arrays, one module per kind of store."""
