"""What keeps a sweep whole: lease, stop, tracking and finish."""
