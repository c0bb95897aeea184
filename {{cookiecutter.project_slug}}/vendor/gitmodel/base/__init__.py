"""Where files are, messages, errors, parameters: what every room uses."""
