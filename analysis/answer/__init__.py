"""Every correlation of the trials, the power to detect one, and the verdict."""
