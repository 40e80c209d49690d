"""The trials that an analysis works on: read, checked, excluded."""
