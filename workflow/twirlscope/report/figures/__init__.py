"""Everything that figures share: their parts, style and axes, curves over training steps, interactive versions."""
