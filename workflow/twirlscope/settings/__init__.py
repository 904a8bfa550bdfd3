"""The config, a class a section; a stage imports only its own, so that editing one section's code reruns one stage."""
