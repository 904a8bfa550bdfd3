"""How any figure is made: what it is, its style and axes, shared curves, its interactive twin."""
