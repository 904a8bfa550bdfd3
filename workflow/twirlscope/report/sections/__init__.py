"""The sections of the report: one module or folder per question, with its numbers, words, figures and tables."""
