"""Curvature of the loss in all parameters: gradients of both parts, Hessian products and their check, spectra."""
