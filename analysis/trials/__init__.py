"""The trials that an analysis works on: read from storage, files or MLflow, and checked.

- load.py: a sweep's storage, or a .csv or .parquet file
- from_mlflow.py: an MLflow tracking server
- exclusions.py: the rules by which rows are excluded, in order
- selection.py: which selection rule is analysed
- scores.py: the direction of scores, and the number of images behind an outcome
- design.py: cells, strata, and the settings along which trials differ
- trials.py: `Trials`, and `Primary`, the comparison declared before the sweep
"""

from analysis.trials.exclusions import trials_from_table as trials_from_table
from analysis.trials.from_mlflow import load_mlflow as load_mlflow
from analysis.trials.load import load_file as load_file
from analysis.trials.load import load_sweep as load_sweep
from analysis.trials.load import trials_of_sweep as trials_of_sweep
from analysis.trials.trials import Primary as Primary
from analysis.trials.trials import Trials as Trials
