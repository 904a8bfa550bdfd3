"""Models, plug-ins: one file each; `layers/` holds shared layers and base classes."""
