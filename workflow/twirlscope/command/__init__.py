"""Commands of `python -m twirlscope`."""
