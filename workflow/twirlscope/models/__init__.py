"""Models, plug-ins: one file each; `layers/` holds what they are built of."""
