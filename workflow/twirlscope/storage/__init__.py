"""Arrays on disk: declared once, written atomically, read in pieces."""
