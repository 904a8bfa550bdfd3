"""Arrays on disk: declared once, written whole, read in pieces."""
