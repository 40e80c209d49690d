"""The published results, to stand beside one's own."""
