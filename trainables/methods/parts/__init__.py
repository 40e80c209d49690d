"""What several files of methods share."""
