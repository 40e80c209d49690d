"""One sweep by the real command: through Ray Tune into records, a table, MLflow and a report."""

import json
import shutil
import signal

import pytest
from mlflow.tracking import MlflowClient
from support import faults
from support.commands import PATIENCE, TINY, run_sweep, running_sweep, wait_until

from records import columns
from search_spaces import SPACES
from search_spaces.strengths import PAPER_METHODS
from trainables import resolve

ATTRIBUTIONS, METRICS = SPACES["own_data"]().trials[0]["attributions"], resolve({}).metrics
ONE = ("--set", "seed=0", "--set", "data_seed=0")


def rows(folder):
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_it_ends_well_and_says_the_answer(tiny_sweep):
    ran = tiny_sweep.ran
    assert ran.code == 0, ran
    verdict = json.loads((tiny_sweep.folder / "sweeps/tiny/report/report.json").read_text())["verdict"]
    for piece in (
        "7/7 trials done",
        "report/report.html",
        "make ui",
        "mean ± sd over",
        "The plan has more trials: repeat the command without --max-trials",
    ):
        assert piece in ran.out
    assert verdict["sentence"] in ran.out


def test_each_method_left_a_complete_record(tiny_sweep):
    records = rows(tiny_sweep.records)
    assert sorted(r["method"] for r in records.values()) == sorted(PAPER_METHODS)
    for key, record in records.items():
        assert (record["trial_key"], record["status"], record["sweep"]) == (key, "completed", "tiny")
        expected = {*columns.IDENTITY, *columns.with_role("time", "provenance", "probe"), "schema_version"}
        expected |= {columns.performance(s, m) for s in columns.SPLITS for m in columns.PERFORMANCE}
        for split in columns.SCORED_SPLITS:
            expected |= {columns.localisation(split, m, a) for m in METRICS for a in ATTRIBUTIONS}
            expected.add(columns.chance_iou(split))
        expected |= {columns.attribution_time(a) for a in ATTRIBUTIONS}
        assert expected <= record.keys()
        assert record["hp.n_train"] == 64
        assert record["mlflow_run_id"]


@pytest.mark.slow
def test_mlflow_has_one_parent_and_one_run_a_trial_with_epochs_and_pictures(tiny_sweep):
    client = MlflowClient(tiny_sweep.tracking_uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    children = client.search_runs([experiment], "tags.kind = 'trial'")
    (parent,) = client.search_runs([experiment], "tags.kind = 'sweep'")
    assert len(children) == 7
    assert "report/report.html" in [a.path for a in client.list_artifacts(parent.info.run_id, "report")]
    records = rows(tiny_sweep.records)
    for run in children:
        record = records[run.data.tags["trial_key"]]
        assert run.info.run_id == record["mlflow_run_id"]
        assert run.data.metrics["test_ood/auc"] == record["test_ood.auc"]
        artifacts = [a.path for a in client.list_artifacts(run.info.run_id, "attribution")]
        assert sorted(artifacts) == [f"attribution/{f}" for f in ("epochs.json", "maps.npz", "saliency.png")]


@pytest.mark.slow
def test_again_trains_nothing_and_adds_no_run(tiny_sweep, tmp_path):
    # A copy: other processes look at the sweep too.
    shutil.copytree(tiny_sweep.folder, tmp_path, dirs_exist_ok=True)
    records = tmp_path / "sweeps/tiny/records"
    before = {path: path.read_bytes() for path in records.iterdir()}
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    runs = len(client.search_runs([experiment]))
    ran = run_sweep(tmp_path, *TINY, "--name", "tiny")
    assert ran.code == 0, ran
    assert "7 trials, 0 to run" in ran.out
    assert {path: path.read_bytes() for path in records.iterdir()} == before
    assert len(client.search_runs([experiment])) == runs


@pytest.mark.slow
def test_trials_that_diverge_have_a_record_and_the_sweep_exit_code_10(tmp_path):
    """Here Tune is given one trial at a time: it gets rounds of them, so that it stays small."""
    command = ["--dataset", "synthetic", "--max-trials", "2", *faults.SMALL, "--name", "bad"]
    command += ["--set", "method=gradmask", "--set", "strength=1e300"]
    rounds = "import driver.ray.run as r; r.ROUND = 1; r.TRIALS_A_SLOT = 0"
    with running_sweep(tmp_path, *command, before=rounds) as driver:
        assert driver.wait(PATIENCE) == 10
    out = (tmp_path / "out").read_text()
    records = rows(tmp_path / "sweeps/bad/records").values()
    assert [record["status"] for record in records] == ["diverged", "diverged"]
    assert all("DivergedError: loss" in record["error"] for record in records)
    assert "2 trials diverged; see their records for the reasons" in out
    assert "No answer: " in out
    assert not (tmp_path / "sweeps/bad/report").exists()
    (log,) = (tmp_path / "sweeps/bad/logs").iterdir()
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()].count("trial") == 2


@pytest.mark.slow
def test_while_mlflow_is_away_trials_go_on_and_sync_catches_up_without_training(tmp_path):
    few = (*TINY, "--set", "method=baseline", *ONE, "--name", "away")
    ran = run_sweep(tmp_path, *few, "--tracking-uri", "http://127.0.0.1:9")
    assert ran.code == 0, ran
    assert "MLflow at http://127.0.0.1:9" in ran.out
    (record,) = rows(tmp_path / "sweeps/away/records").values()
    assert (record["status"], record["mlflow_run_id"]) == ("completed", None)
    lacks = "MLflow lacks 1 trial. Nothing is lost: this brings it up to date:\n"
    command = ran.out[ran.out.index(lacks) + len(lacks) :].strip()
    assert command == "python sweep.py --name away --tracking-uri http://127.0.0.1:9 --sync"
    assert "1 trial is not in MLflow yet" in run_sweep(tmp_path, "--status", "--name", "away").out
    ran = run_sweep(tmp_path, "--name", "away", "--sync")
    assert ran.code == 0, ran
    assert "1 trial, 0 to run" in ran.out
    assert "MLflow is up to date" in run_sweep(tmp_path, "--status", "--name", "away").out
    (record,) = rows(tmp_path / "sweeps/away/records").values()
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert client.get_run(record["mlflow_run_id"]).data.tags["trial_key"] == record["trial_key"]


@pytest.mark.slow
def test_an_mlflow_that_comes_up_late_is_filled_while_trials_run(tmp_path):
    """The driver tries every second; it is stopped once there are runs, so that its end cannot have made them."""
    server, sweep = faults.Server(), faults.many_trials(2000)
    arguments = (*sweep.arguments, "--name", "late", "--tracking-uri", server.uri)
    records = tmp_path / "sweeps/late/records"

    def runs():
        client = MlflowClient(server.uri)
        late = client.get_experiment_by_name("late")
        return client.search_runs([late.experiment_id], "tags.kind = 'trial'") if late else []

    with running_sweep(tmp_path, *arguments, before="import driver.upkeep.mirror as m; m.EVERY = 1") as driver:
        try:
            wait_until(lambda: len(list(records.glob("*.json"))) >= 2, driver)
            server.start()
            wait_until(lambda: len([run for run in runs() if run.info.status == "FINISHED"]) >= 2, driver)
            assert len(list(records.glob("*.json"))) < sweep.trials, "trials are still running"
            assert "MLflow answers now and is brought up to date." in (tmp_path / "out").read_text()
            driver.send_signal(signal.SIGINT)
            driver.wait(timeout=PATIENCE)
            mirrored = {run.data.tags["trial_key"]: run.info.run_id for run in runs()}
        finally:
            server.__exit__()
    named = {key: record["mlflow_run_id"] for key, record in rows(records).items() if record["mlflow_run_id"]}
    assert named.items() <= mirrored.items()
