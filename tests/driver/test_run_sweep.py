"""The story of a sweep, without training: what it reads, writes and prints."""

import io
import json
import os
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console
from support.sweep_requests import make_request

from driver import UserError
from driver.plan.make_plan import make_plan
from driver.plan.plan import declare, declared_plan, open_records
from driver.run_sweep import _show, run_sweep
from driver.upkeep import summary
from driver.upkeep.finish import Outcome
from driver.view.progress import Progress
from driver.view.status import show_status
from records import SweepRecords, columns
from records.storage import FolderStorage
from records.store import WEIGHTS
from search_spaces import Primary

COMMAND = "python sweep.py --space smoke --max-trials 3"
REPORT = "smoke/report/report.html"


def request(storage, **options):
    return make_request(storage, **{"max_trials": 3} | options)


def run(storage, **options):
    """What the command prints."""
    out = io.StringIO()
    carry_out(request(storage, **options), Console(file=out, width=400))
    return out.getvalue()


def carry_out(request, console):
    if not request.status:
        return run_sweep(request, console)
    return show_status(console, request.storage, request.sweep, request.tracking, request.storage_option)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def write(records, plan, status, n=None):
    """Records of the plan's first n trials."""
    for config in list(plan.trials.values())[:n]:
        ended = {"status": status, "error": "AnError", "schema_version": columns.SCHEMA_VERSION}
        records.write({**config.columns(), **ended})


@pytest.fixture
def done(tmp_path):
    """A sweep whose three trials have diverged; such trials are not repeated."""
    records = open_records(str(tmp_path), "smoke", fresh=False)
    plan = make_plan("smoke", None, {}, 3)
    declare(records, plan, COMMAND)
    write(records, plan, "diverged")
    return records


@pytest.fixture
def untrained(monkeypatch):
    """Neither Ray nor trials start."""
    monkeypatch.setattr("driver.run_sweep.connect", lambda *_: 1)
    monkeypatch.setattr("driver.run_sweep.run_trials", lambda *_, **__: None)


@pytest.fixture
def one_to_run(done, untrained):
    """The request of a sweep with two trials done and one to run."""
    done.storage.delete(f"smoke/records/{min(done.done())}.json")
    return request(done.storage.location)


@pytest.mark.parametrize("mode", [{}, {"sync": True}, {"status": True}])
def test_each_record_is_read_once(mode, done, monkeypatch):
    reads, read = Counter(), FolderStorage.read
    monkeypatch.setattr(FolderStorage, "read", lambda self, name: reads.update([name]) or read(self, name))
    outcome = carry_out(request(done.storage.location, **mode), Console(quiet=True))
    if not mode.get("status"):
        assert (outcome.diverged, outcome.completed, outcome.report) == (3, 0, None)
    assert [n for name, n in reads.items() if "/records/" in name] == [1, 1, 1]


def test_it_leaves_manifest_log_and_table_and_no_lease(done):
    run(done.storage.location)
    files = {path.name for path in done.storage.root.joinpath("smoke").iterdir()}
    assert files == {"records", "logs", "sweep.json", "trials.parquet"}
    assert done.manifest().planned_trials == 3


def test_each_command_that_made_trials_is_kept_once(done):
    run(done.storage.location)
    run(done.storage.location, sync=True, max_trials=1)
    run(done.storage.location, max_trials=2)
    assert done.manifest().commands == (COMMAND, "python sweep.py --space smoke --max-trials 2")


def test_the_command_of_a_request_repeats_its_trials_without_credentials(tmp_path):
    options = {"dataset": "folder:my scans", "name": "mine", "assignments": ("root=s3://me:key@bucket", "lr=1e-3")}
    assert request(tmp_path, **options).command("mine") == (
        "python sweep.py --space smoke --dataset 'folder:my scans' --name mine --max-trials 3 "
        "--set 'root=s3://***@bucket' --set lr=1e-3"
    )


def test_an_interrupt_says_how_many_trials_are_done(one_to_run, done, monkeypatch):
    monkeypatch.setattr("driver.run_sweep.run_trials", interrupt)
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt, match=r"^2 of 3 trials done\. Repeat the command to go on\.$"):
        run_sweep(one_to_run, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert lines[0] == "Sweep smoke: 3 trials, 1 to run"
    assert lines[2].endswith(f"at any time: python -m analysis --sweep smoke --storage {done.storage.location}")
    assert lines[-1] == "2/3 trials done, 0 running, 0 failed"
    assert done.storage.read("smoke/lease.json") is None


@pytest.mark.parametrize(("problem", "files"), [(KeyboardInterrupt, ["sweep.json"]), (UserError("no cluster"), [])])
def test_an_interrupted_start_keeps_the_plan_and_a_failed_one_nothing(problem, files, tmp_path, monkeypatch):
    def ends(*_):
        raise problem

    monkeypatch.setattr("driver.run_sweep.connect", ends)
    match = r"^0 of 3 trials done\. Repeat the command to go on\.$|^no cluster$"
    with pytest.raises((KeyboardInterrupt, UserError), match=match):
        run(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == files
    if files:
        start = f"Repeat the command to start: {COMMAND} --storage"
        assert f"no trial has finished yet. {start}" in run(tmp_path, status=True)


def test_the_status_of_a_killed_start(tmp_path):
    dead = {"holder": "ann on laptop, process 7", "host": "", "pid": 7, "process_started": 0, "renewed_at": 0}
    open_records(str(tmp_path), "smoke", False).storage.write("smoke/lease.json", json.dumps(dead).encode())
    os.utime(tmp_path / "smoke/lease.json", (0, 0))
    assert "was started by ann on laptop, process 7 and has no finished trial yet. Repeat" in run(tmp_path, status=True)


def test_the_status_of_a_finished_sweep_names_its_report_and_the_rest_of_the_plan(done):
    storage = done.storage.location
    whole = f"python sweep.py --space smoke --storage {storage}"
    status = run(storage, status=True)
    assert f"Finished up to --max-trials. The other trials of the plan: {whole}" in status
    done.storage.write(REPORT, b"of three trials")
    declare(done, make_plan("smoke", None, {}, 3), "python sweep.py --space smoke")
    lines = run(storage, status=True).splitlines()
    assert "Finished" in lines
    assert f"Report     {storage}/{REPORT}" in lines
    done.storage.delete(f"smoke/records/{min(done.done())}.json")
    assert f"Not running. Repeat the command to resume: {whole}" in run(storage, status=True)


@pytest.mark.parametrize("mode", [{}, {"sync": True}, {"status": True}, {"dry_run": True}])
def test_records_of_a_newer_version_are_refused_and_unchanged(mode, done):
    new = done.load().records[0]
    done.write({**new, "schema_version": columns.SCHEMA_VERSION + 1})
    before = {path: path.read_bytes() for path in done.storage.root.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=rf"smoke/records/{new['trial_key']}\.json .* Update the checkout") as refused:
        run(done.storage.location, **mode)
    assert refused.value.exit_code == 2
    assert {path: path.read_bytes() for path in done.storage.root.rglob("*") if path.is_file()} == before


def test_a_dry_run_names_files_that_a_run_sets_aside(done, monkeypatch):
    monkeypatch.setattr("driver.run_sweep.show_plan", lambda *_: None)
    file = f"smoke/records/{min(done.done())}.json"
    done.storage.write(file, b"{")
    printed = run(done.storage.location, dry_run=True)
    assert f"1 file is not a readable record ({file}: not a JSON record (1 bytes)" in printed


def test_a_fresh_sweep_is_continued_under_its_name(done, untrained, monkeypatch):
    monkeypatch.setattr("driver.run_sweep.run_trials", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"^0 of 3 .* with --name smoke-2 in place of --fresh to go on\.$"):
        run(done.storage.location, fresh=True)
    commands = SweepRecords(done.storage, "smoke-2").manifest().commands
    assert commands == ("python sweep.py --space smoke --name smoke-2 --max-trials 3",)


def test_the_report_command_names_a_storage_other_than_the_default(monkeypatch):
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    assert request("sweeps").report_command("mine") == "python -m analysis --sweep mine"
    assert request("my sweeps").report_command("mine") == "python -m analysis --sweep mine --storage 'my sweeps'"
    monkeypatch.setenv("SWEEP_STORAGE", "s3://bucket/x")
    assert request("s3://bucket/x").report_command("mine") == "python -m analysis --sweep mine"
    assert request("sweeps").report_command("mine") == "python -m analysis --sweep mine --storage sweeps"


def test_an_interrupt_leaves_no_outdated_report(one_to_run, done, monkeypatch):
    done.storage.write(REPORT, b"of two trials")
    monkeypatch.setattr("driver.run_sweep.finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(one_to_run, Console(quiet=True))
    assert done.storage.read(REPORT) is None


@pytest.mark.parametrize("killed", [False, True])
def test_a_report_that_is_older_than_a_record_is_written_again(killed, done, monkeypatch):
    done.storage.write(REPORT, b"of two trials")
    page = done.storage.root / REPORT
    # The other command was killed after its last trial, before it would have removed the report.
    os.utime(page, (page.stat().st_atime, page.stat().st_mtime + (-60 if killed else 60)))
    finished = []
    outcome = Outcome(None, "", 3, 0, 0)
    monkeypatch.setattr("driver.run_sweep.finish", lambda *_, **named: finished.append(named) or outcome)
    run(done.storage.location)
    assert [named["changed"] for named in finished] == [killed]
    assert page.exists() != killed


def test_failed_and_skipped_trials_are_reported_at_the_end():
    progress, out = Progress(Console(quiet=True), 9), io.StringIO()
    progress.give_up("mine: its first 3 trials failed", 1)
    outcome = Outcome(None, "No answer.", completed=4, failed=3, diverged=1)
    _show(outcome, progress, "none", Console(file=out, width=300))
    assert "3 trials failed and 1 trial diverged; see their records for the reasons." in out.getvalue()
    assert "mine: its first 3 trials failed. 1 other trial skipped; the same command tries again" in out.getvalue()


def test_it_says_what_other_commands_left_and_where_it_ends_inside_a_seed(done, untrained):
    lines = run(done.storage.location, assignments=("epochs=2",)).splitlines()
    assert "32 trials are one seed; 3 are part of one: --max-trials 32 ends with a whole seed" in lines
    others = "This sweep also has 3 records that this command would not make. The report leaves out 3 with epochs other"
    assert any(line.startswith(others) for line in lines)


def test_the_declaration_of_the_sweep_replaces_that_of_the_command(done, monkeypatch):
    plans = []
    done.write_manifest(replace(done.manifest(), primary=Primary(metric="iop")))
    monkeypatch.setattr("driver.run_sweep.show_plan", lambda console, location, plan, *_: plans.append(plan))
    printed = run(done.storage.location, dry_run=True)
    assert plans[0].space.primary == Primary(metric="iop")
    assert printed.startswith("This sweep was declared with primary test_ood.iop.integrated_gradients against")


def test_status_only_reads_and_needs_no_data(done, monkeypatch):
    for name in ("write", "create", "replace", "delete", "check"):
        monkeypatch.setattr(FolderStorage, name, lambda *_: pytest.fail("it writes"))
    options = {"status": True, "dataset": "folder:/nowhere", "from_sweep": "gone"}
    assert "3 of 3 trials done: 0 completed, 0 failed, 3 diverged" in run(done.storage.location, **options)


def test_status_of_trials_in_another_mlflow(done, tmp_path):
    for record in done.load().records:
        done.write({**record, "mlflow_run_id": "of another"})
    printed = run(done.storage.location, status=True, tracking_uri=f"sqlite:///{tmp_path}/none.db")
    assert f"another MLflow than sqlite:///{tmp_path}/none.db, or it cannot be reached; --tracking-uri names" in printed
    assert "http://127.0.0.1" not in printed, "that MLflow does not have the trials"


def test_sync_without_a_manifest_declares_none(done):
    done.storage.delete("smoke/sweep.json")
    assert "Sweep smoke: 3 trials, 0 to run" in run(done.storage.location, sync=True)
    assert done.manifest() is None


def test_weights_that_an_interrupted_command_left_are_deleted_though_nothing_is_to_run(done):
    records = list(done.load().records)
    for number, record in enumerate(records):
        done.write({**records[0], "trial_key": record["trial_key"], "status": "completed", "valid_id.loss": number})
        done.write_artifact(record["trial_key"], WEIGHTS, b"")
    run(done.storage.location, keep_weights="best", sync=True)
    assert len(done.with_weights()) == 3, "--sync deletes none"
    run(done.storage.location, keep_weights="best")
    assert done.with_weights() == {records[0]["trial_key"]}


def test_sync_takes_the_plan_from_the_sweep_and_keeps_its_manifest(tmp_path):
    records = open_records(str(tmp_path), "mine", fresh=False)
    plan = make_plan("own_data", None, {"epochs": 2}, 4)
    plan = replace(plan, space=replace(plan.space, primary=Primary(metric="iop")))
    declare(records, plan, "python sweep.py --space own_data --name mine --set epochs=2 --max-trials 4")
    write(records, plan, "failed", 3)
    manifest, out = records.storage.read("mine/sweep.json"), io.StringIO()
    sync = request(tmp_path, name="mine", sync=True, max_trials=None)
    assert run_sweep(sync, Console(file=out, width=80)).failed == 3
    assert records.storage.read("mine/sweep.json") == manifest
    assert "Sweep mine: 4 trials, 0 to run" in out.getvalue()
    assert "This sweep also has" not in out.getvalue()
    declared = declared_plan(records.manifest())
    assert (declared.space.name, declared.space.primary.metric) == ("own_data", "iop")
    assert summary.design(records.load().records, declared)["planned_trials"] == 4
    command = f"python sweep.py --name mine --storage {tmp_path} --tracking-uri none --sync"
    assert sync.sync_command("mine") == command
