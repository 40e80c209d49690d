"""The comparisons and their verdict, every correlation of the trials, and the power to detect one."""
