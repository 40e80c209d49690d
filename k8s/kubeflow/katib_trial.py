"""One trial, run by a Job of Katib's: its record in the sweep's storage, its scores printed for Katib.

Many of these run at a time, so there is no driver and no lease. A trial that has its record is not run again.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from driver import UserError
from driver.plan.make_plan import make_plan
from driver.plan.plan import declare, open_records
from driver.upkeep.tracking import NONE, check_tracking_uri
from records import columns
from records.mirror import MirrorError, open_experiment
from trainables import ConfigurationError, Recorder, TrialTrainable
from trainables.core.config import parse_settings


def run(space: str, assignments: list[str], storage: str) -> dict[str, object]:
    """Run the one trial of `space` that has these settings, unless it is done; its record.

    Raises:
        ConfigurationError: an argument that is not KEY=VALUE, or a repeated key.
        UserError: the settings leave no trial, or more than one.
    """
    plan = make_plan(space, None, parse_settings(assignments), None)
    if len(plan.trials) != 1:
        raise UserError(
            f"{' '.join(assignments)} leaves {len(plan.trials)} trials of space {space!r}; set all that vary"
        )
    ((key, config),) = plan.trials.items()
    records = open_records(storage, plan.space.name, fresh=False)
    record = records.read(key)
    if record is None or record["status"] == "failed":
        whole = make_plan(space, None, {}, None)
        declare(records, whole, len(records.done() - whole.trials.keys()))
        experiment = None
        if (os.environ.get("MLFLOW_TRACKING_URI") or NONE) != NONE:
            try:
                experiment = open_experiment(check_tracking_uri(None), records.name)
            except MirrorError as error:
                print(f"{error}; the trial goes on without", file=sys.stderr)
        trainable = type("KatibTrial", (TrialTrainable,), {"recorder": Recorder(storage, records.name, experiment)})
        trial = trainable(config.flat())
        while not trial.train().get("done"):
            pass
        record = records.read(key)
    if record is None:
        raise UserError(f"trial {key} left no record in {records.location}")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one trial of a space and print its scores.")
    parser.add_argument("--space", required=True)
    parser.add_argument("--set", action="append", default=[], dest="assignments", metavar="KEY=VALUE")
    parser.add_argument("--storage", default=os.environ.get("SWEEP_STORAGE", "sweeps"))
    given = parser.parse_args()
    try:
        record = run(given.space, given.assignments, given.storage)
    except (ConfigurationError, UserError) as error:
        sys.exit(f"katib_trial.py: {error}")
    if record["status"] != "completed":
        sys.exit(f"katib_trial.py: trial {record['trial_key']} {record['status']}: {record['error']}")
    for name, value in record.items():
        if value is not None and (columns.parse_localisation(name) or name.endswith((".auc", ".accuracy"))):
            print(f"{name}={value}")


if __name__ == "__main__":
    main()
