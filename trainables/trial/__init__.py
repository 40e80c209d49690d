"""One trial, from a configuration to its scores."""
