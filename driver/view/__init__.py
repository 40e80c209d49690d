"""What people and programs see of a sweep: progress, status, dry run, log and metrics."""
