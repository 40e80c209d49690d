"""Copies all sweeps to the backup's storage, or back from it.

    backup.py backup      new and changed files; deletes nothing from the backup
    backup.py restore     missing files; overwrites nothing. Then fills MLflow and makes the reports from the records

SWEEP_STORAGE and AWS_… give the sweeps' storage, BACKUP_STORAGE and BACKUP_AWS_… the backup's. May be repeated.
"""

import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from records import StorageError, open_storage
from records.storage import Storage

AT_ONCE = 16
WAIT_SECONDS = 600


def copy(source: Storage, target: Storage, changed: bool) -> int:
    """Copy the files missing from `target`, and if `changed` those that are newer in `source`; returns their number."""
    existing = target.files("")
    new = [
        name
        for name, file in source.files("").items()
        if (old := existing.get(name)) is None or (changed and (file.modified >= old.modified or file.size != old.size))
    ]

    def copy_one(name: str) -> bool:
        data = source.read(name)
        if data is not None:  # Else deleted since it was listed, like a checkpoint.
            target.write(name, data)
        return data is not None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(copy_one, new))


def open_both() -> tuple[Storage, Storage]:
    """The sweeps' storage and the backup's; an S3 client keeps the AWS variables with which it was created."""
    sweeps = open_storage(os.environ["SWEEP_STORAGE"])
    os.environ.pop("AWS_ENDPOINT_URL", None)
    # A key from a file often ends with a line break.
    given = {name: value.strip() for name, value in os.environ.items() if name.startswith("BACKUP_AWS_")}
    os.environ.update({name.removeprefix("BACKUP_"): value for name, value in given.items()})
    return sweeps, open_storage(os.environ.get("BACKUP_STORAGE", ""))


def wait_for_mlflow(address: str) -> None:
    """Return once MLflow's server answers, as `--sync` does not wait for a starting server."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return urllib.request.urlopen(f"{address}/health", timeout=10).close()  # noqa: S310 -- http alone
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"no answer from {address} for {WAIT_SECONDS} s: {error}")
            time.sleep(5)


def main(action: str) -> None:
    """Back up or restore; exits with an error if anything is incomplete."""
    variables = dict(os.environ)
    sweeps, backup = open_both()
    if action == "backup":
        print(f"{copy(sweeps, backup, changed=True)} new or changed files copied to {backup.location}")
        return
    print(f"{copy(backup, sweeps, changed=False)} missing files copied from {backup.location}", flush=True)
    if variables.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        wait_for_mlflow(variables["MLFLOW_TRACKING_URI"])
    failed = []
    for name in sorted({path.split("/")[0] for path in sweeps.names("") if "/records/" in path}):
        # 10: the sweep has failed trials.
        command = [sys.executable, "-m", "sweep", "--name", name, "--sync"]
        if subprocess.run(command, env=variables).returncode not in (0, 10):
            failed.append(name)
    if failed:
        sys.exit(f"files are restored, but MLflow or the report is not up to date for: {', '.join(failed)}")


if __name__ == "__main__":
    if sys.argv[1:] not in (["backup"], ["restore"]):
        sys.exit("usage: backup.py backup | restore")
    try:
        main(sys.argv[1])
    except StorageError as error:
        sys.exit(str(error))
