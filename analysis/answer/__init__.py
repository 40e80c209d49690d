"""What the trials say: every correlation, the power to see one, and the verdict."""
