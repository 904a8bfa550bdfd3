"""Declarations of stored arrays, one file per kind of store."""
