"""One question of the report a module, or a folder: its numbers, words, figures and tables together."""
