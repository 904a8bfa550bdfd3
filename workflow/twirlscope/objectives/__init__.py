"""Objectives of training, plug-ins: one file each."""
