"""Every command reads a sweep with records that are damaged in every way, or strange, without a traceback."""

import io

import pytest
from rich.console import Console
from support.damaged import STRANGE, damaged
from support.sweep_requests import make_request

from analysis.trials.load import load_sweep
from driver.plan.make_plan import make_plan
from driver.plan.plan import declare, open_records
from driver.run_sweep import run_sweep
from driver.view.status import show_status

WRONG = damaged({"status": "completed"})


@pytest.fixture
def records(tmp_path):
    """A sweep of good, strange and damaged records."""
    records = open_records(str(tmp_path), "smoke", fresh=False)
    plan = make_plan("smoke", None, {}, None)
    declare(records, plan, "python sweep.py --space smoke")
    scores = {"test_ood.auc": 0.5, "test_id.auc": 0.75, "test_ood.iou.integrated_gradients": 0.25}
    ended = {"status": "completed", "started_at": "2026-01-02T03:04:05+00:00", "schema_version": 1, **scores}
    good, *configs = plan.trials.values()
    for config, change in zip(configs, STRANGE.values(), strict=False):
        records.write({**config.columns(), **ended, **change})
    records.write({**good.columns(), **ended})
    for number, name in enumerate(WRONG):
        key = f"{number:016d}"
        data = damaged({**good.columns(), **ended, "trial_key": key})[name]
        records.storage.write(f"smoke/records/{key}.json", data)
    return records


def run(records, **options):
    out = io.StringIO()
    run_sweep(make_request(records.storage.location, **options), Console(file=out, width=100_000))
    return out.getvalue()


def status(records):
    show_status(Console(file=(out := io.StringIO()), width=100_000), records.storage.location, records.name, "none", "")
    return out.getvalue()


def test_every_command_names_damaged_records_and_a_run_sets_them_aside(records):
    good = 1 + len(STRANGE)
    assert f"{len(WRONG)} files are not readable records" in status(records)
    trials = load_sweep(records.storage.location, "smoke")
    assert trials.excluded["unreadable record"] == len(WRONG)
    assert trials.n_read == good + len(WRONG)
    printed = run(records, sync=True)
    assert printed.count("set aside smoke/set_aside/") == len(WRONG)
    assert len(records.done()) == good
    assert len(records.storage.names("smoke/set_aside/")) == len(WRONG)
    assert records.storage.read("smoke/trials.parquet") is not None
