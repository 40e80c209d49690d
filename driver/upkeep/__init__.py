"""What keeps a sweep whole: its lease, MLflow, its end."""
