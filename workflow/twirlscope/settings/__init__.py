"""The config, one class per section; a stage imports only its own."""
