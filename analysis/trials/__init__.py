"""The trials that an analysis works on: read from storage, files or MLflow, and checked.

- load.py: a sweep's storage, or a .csv or .parquet file
- from_mlflow.py: an MLflow tracking server
- exclusions.py: the rules by which rows are excluded, in order
- selection.py: which selection rule is analysed
- scores.py: the direction of scores, and the number of images behind an outcome
- design.py: cells, strata, and the settings along which trials differ
- trials.py: `Trials`, and the reasons for exclusion
"""
