"""The price of built-in symmetry: what it costs and brings beside symmetry that was learned."""
