"""From a space and the command line to the trials of a sweep."""
