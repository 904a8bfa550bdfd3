"""Refusals of models, tasks and samples with which a number would be wrong."""
