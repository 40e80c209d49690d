"""What a sweep leaves behind: records, artifacts, and their mirror in MLflow.

    columns.py          the table of a record's columns: names, roles, kinds and labels
    storage.py          opens a folder or s3://bucket/prefix: storage_interface.py, folder_storage.py, s3_storage.py
    fence.py            keeps a driver that has lost its sweep from writing
    manifest.py         sweep.json: what a sweep declared
    parsing.py          parses its JSON files and checks records: a damaged file is one line
    store.py            the records of one sweep: <storage>/<sweep>/records/<trial_key>.json and trials.parquet
    mirror.py           brings MLflow up to date with the records; mirror_names.py, mlflow_client.py
    database.py         MLflow's SQLite database, created whole or not at all
    secrets.py          removes credentials and control characters from messages

Imports neither torch nor Ray: trainables write records, analysis reads them.
"""

import os

from records import columns as columns
from records.manifest import Manifest as Manifest
from records.manifest import Primary as Primary
from records.storage import Storage as Storage
from records.storage import StorageError as StorageError
from records.storage import open_storage as open_storage
from records.store import SweepRecords as SweepRecords

# No telemetry. MLflow reads this when it is imported, which is after this package.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
