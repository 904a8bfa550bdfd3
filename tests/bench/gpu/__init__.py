"""Checks of `make check-gpu`, small functions of a device, and the card that runs them within a time."""
