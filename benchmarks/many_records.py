"""Thousands of records as a sweep leaves them: one small trial that was run, and copies that differ as trials do."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from records import SweepRecords, columns, open_storage
from records.store import Record
from search_spaces import Space
from search_spaces.space import factorial
from search_spaces.strengths import ONE_STRENGTH

SWEEP = "scale"
SEVERITIES = (0.0, 0.5, 0.8, 0.9, 1.0)
SMALL: dict[str, Any] = {"n_train": 32, "n_valid": 32, "n_test": 32, "epochs": 2, "batch_size": 8}
SMALL |= {"attribution_images": 8}
SPREAD = 0.1
"""Standard deviation of what is added to each score."""


def space(trials: int) -> Space:
    """Seven methods x five severities x as many seeds as make `trials`."""
    seeds = range(-(-trials // (len(ONE_STRENGTH) * len(SEVERITIES))))
    levels: dict[str, Any] = {name: (value,) for name, value in SMALL.items()}
    settings = list(factorial(seeds, ("synthetic",), SEVERITIES, ONE_STRENGTH, **levels))
    return Space(SWEEP, "copies of one small trial", settings[:trials])


def real_trial(folder: Path) -> SweepRecords:
    """A sweep in `folder` with the record and artifacts of one small trial, run here."""
    from trainables import Recorder, TrialTrainable

    # As Tune's actor holds it, without an actor.
    trial = TrialTrainable.__new__(TrialTrainable)
    trial.setup({**SMALL, "method": "baseline"}, recorder=Recorder(str(folder), SWEEP))
    while not trial.step().get("done"):
        pass
    return SweepRecords(open_storage(folder), SWEEP)


def varied(record: Record, settings: Iterable[Mapping[str, Any]]) -> Iterator[Record]:
    """For each trial's settings, as `TrialConfig.columns` gives them, `record` with these and with other scores.

    Scores that lie in [0, 1] stay there, and losses stay above 0.
    """
    rng = np.random.default_rng(0)
    scores = {name: v for name, v in record.items() if name.split(".")[0] in columns.SPLITS and isinstance(v, float)}
    values = np.array(list(scores.values()))
    for trial in settings:
        drawn = values + SPREAD * rng.normal(size=len(values))
        drawn = np.where(values <= 1, drawn.clip(0, 1), drawn.clip(0))
        yield Record({**record, **trial, **dict(zip(scores, drawn.tolist(), strict=True))})


def copies(records: SweepRecords, number: int) -> list[Record]:
    """So many copies of the only record, whose artifacts are copied too. The records are not written."""
    (real,) = records.load().records
    made = list(varied(real, ({"trial_key": f"{n:016x}"} for n in range(number))))
    for name in records.artifacts(real["trial_key"]):
        data = records.read_artifact(real["trial_key"], name) or b""
        for copy in made:
            records.write_artifact(copy["trial_key"], name, data)
    return made
