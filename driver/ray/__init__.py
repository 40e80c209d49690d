"""The Ray cluster, and the trials on it."""
