"""Trainables as Tune's actors hold them, and the records that they leave in a folder."""

from pathlib import Path
from typing import Any

from records import SweepRecords, columns, open_storage
from trainables import Recorder, TrialTrainable

SWEEP = "recorded"


def started(folder: Path, settings: dict[str, Any], **recorder: Any) -> TrialTrainable:
    """A trainable that writes records to `folder`, with the recorder's further settings."""
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable.setup(settings, recorder=Recorder(str(folder), SWEEP, **recorder))
    return trainable


def run_to_the_end(trainable: TrialTrainable) -> dict[str, Any]:
    while not (result := trainable.step()).get("done"):
        pass
    return result


def records_in(folder: Path) -> SweepRecords:
    return SweepRecords(open_storage(folder), SWEEP)


def checkpoints_in(folder: Path) -> list[str]:
    return list(open_storage(folder).names(f"{SWEEP}/checkpoints/"))


def results(record: dict[str, Any]) -> dict[str, Any]:
    """The columns of a record that do not depend on when and where it was made."""
    return {name: value for name, value in record.items() if not columns.is_run_specific(name)}


def stored(folder: Path) -> dict[str, Any]:
    """The only record in the folder."""
    (record,) = records_in(folder).load().records
    return record
