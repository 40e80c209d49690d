"""The story of a sweep, without training: what it reads, and what it leaves."""

from collections import Counter

import pytest
from rich.console import Console

from driver.plan.make_plan import make_plan
from driver.plan.plan import declare, open_records
from driver.request import Request
from driver.run_sweep import run_sweep
from records import columns
from records.storage import FolderStorage

REQUEST = {
    **dict.fromkeys(("dataset", "name", "concurrency", "from_sweep")),
    **dict.fromkeys(("dry_run", "status", "sync", "fresh"), False),
    **{"space": "smoke", "address": "local", "tracking_uri": "none", "max_trials": 3, "assignments": ()},
    **{"cpus_per_trial": 1.0, "gpus_per_trial": 0.0},
}


@pytest.fixture
def done(tmp_path):
    """A sweep whose three trials have diverged; such trials are not repeated."""
    records = open_records(str(tmp_path), "smoke", fresh=False)
    plan = make_plan("smoke", None, {}, 3)
    declare(records, plan)
    for config in plan.trials.values():
        kept = {"status": "diverged", "error": "DivergedError", "schema_version": columns.SCHEMA_VERSION}
        records.write({**config.columns(), **kept})
    return records


@pytest.mark.parametrize("mode", [{}, {"sync": True}, {"status": True}])
def test_each_record_is_read_once(mode, done, monkeypatch):
    reads, read = Counter(), FolderStorage.read
    monkeypatch.setattr(FolderStorage, "read", lambda self, name: reads.update([name]) or read(self, name))
    outcome = run_sweep(Request(**REQUEST | mode, storage=done.storage.location), Console(quiet=True))
    if not mode.get("status"):
        assert (outcome.diverged, outcome.completed, outcome.report) == (3, 0, None)
    assert [n for name, n in reads.items() if "/records/" in name] == [1, 1, 1]


def test_it_leaves_its_manifest_log_and_table_and_no_lease(done):
    run_sweep(Request(**REQUEST, storage=done.storage.location), Console(quiet=True))
    left = {path.name for path in done.storage.root.joinpath("smoke").iterdir()}
    assert left == {"records", "logs", "sweep.json", "trials.parquet"}
    assert done.manifest()["planned_trials"] == 3


def test_it_says_what_other_commands_left_and_where_it_ends_inside_a_seed(done, capsys):
    request = Request(**REQUEST | {"sync": True, "assignments": ("epochs=2",)}, storage=done.storage.location)
    run_sweep(request, Console(width=80))
    said = capsys.readouterr().out.splitlines()
    assert "32 trials are one seed; 3 are part of one: --max-trials 32 ends with a whole seed" in said
    assert (
        "This sweep also holds 3 records that this command would not make. The report leaves out 3 with epochs other "
        "than 2. To keep sweeps apart, give this one another --name, or --fresh."
    ) in said
