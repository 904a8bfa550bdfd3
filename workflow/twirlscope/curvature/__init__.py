"""The loss as a function of all parameters: gradients of both parts, Hessian products and their check, spectra."""
