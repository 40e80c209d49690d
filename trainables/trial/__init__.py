"""One trial, from flat settings (resolve.py) through training and scoring (trial.py) to its record (training.py)."""
