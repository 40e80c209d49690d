"""The trials that an analysis works on: read from storage, files or MLflow, and checked."""
