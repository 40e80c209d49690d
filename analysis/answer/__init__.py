"""What the trials say: every correlation, the estimands and the verdict."""
