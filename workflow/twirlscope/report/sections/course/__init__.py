"""Course of the equivariance error: over training, by time of a flow, beside published trainings, and as weighted."""
