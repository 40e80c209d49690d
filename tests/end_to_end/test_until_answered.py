"""A sweep with --until answered by the real command: killed, continued, ended early, and repeated."""

import json
import os
import signal

import pytest
from support.commands import run_sweep, running_sweep, wait_until
from support.until_spaces import PER_SEED, write_space

pytestmark = pytest.mark.slow


def test_it_is_killed_goes_on_ends_early_and_stays_ended(tmp_path):
    # Two methods cannot be compared as methods, which no further data seed changes.
    write_space(tmp_path, "few_methods", 8, ("method",))
    command = ("--space", "few_methods.py", "--until", "answered", "--concurrency", "2")
    sweep = tmp_path / "sweeps/few_methods"
    with running_sweep(tmp_path, *command) as driver:
        wait_until(lambda: len([*sweep.glob("records/*.json")]) >= 3, driver)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    before = {path: path.read_bytes() for path in sweep.glob("records/*.json")}
    assert len(before) < 6 * PER_SEED

    ran = run_sweep(tmp_path, *command)
    assert ran.code == 0, ran
    assert "Look 1 of 2, with 6 of 8 data seeds: methods undecided" in ran.out
    assert f"{2 * PER_SEED} trials saved" in ran.out
    records = [json.loads(path.read_text()) for path in sweep.glob("records/*.json")]
    assert sorted({record["data_seed"] for record in records}) == [0, 1, 2, 3, 4, 5]
    assert len(records) == 6 * PER_SEED
    assert json.loads((sweep / "sweep.json").read_text())["looks"] == {"planned": [6, 8], "taken": 1, "end": "futile"}
    look = json.loads((sweep / "report/report.json").read_text())["look"]
    assert (look["look"], look["data_seeds"], look["end"]) == (1, [6], "futile")
    assert "This is look 1, with 6 of 8 data seeds" in (sweep / "report/report.md").read_text()

    again = run_sweep(tmp_path, *command)
    assert (again.code, f"{6 * PER_SEED} trials, 0 to run" in again.out) == (0, True), again
    assert "This sweep ended at look 1 of 2, with 6 of 8 data seeds" in again.out
    assert "Finished at look 1 of 2" in run_sweep(tmp_path, "--name", "few_methods", "--status").out
    for path, content in before.items():
        first, now = json.loads(content), json.loads(path.read_text())
        assert {**first, "mlflow_run_id": None} == {**now, "mlflow_run_id": None}, "a finished trial ran again"
