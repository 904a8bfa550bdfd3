"""Parts that several objectives share: views of samples, and comparisons of views."""
