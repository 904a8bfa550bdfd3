"""The price of built-in symmetry: its cost and its loss beside symmetry that was learned."""
