"""--keep-weights: which weights stay, the note on trials without them, and what MLflow gets."""

import re

import pytest
from mlflow.tracking import MlflowClient
from support.commands import TINY, run_sweep

from driver.plan.make_plan import make_plan
from driver.upkeep.weights import BestWeights, weights_note
from records import Manifest, SweepRecords, columns, mirror, open_storage
from records.store import WEIGHTS
from trainables import load_model
from trainables.core.config import parse_settings


@pytest.fixture
def records(tmp_path):
    return SweepRecords(open_storage(tmp_path), "kept")


def finished(records, key, loss, *, weights=True, status="completed", **settings):
    """A trial that has just ended, as its process leaves it."""
    own = {"dataset": "synthetic", "severity": 1.0, "method": "rrr", "strength": 1.0, "seed": 0, "data_seed": 0}
    record = {"trial_key": key, "status": status, "valid_id.loss": loss, "schema_version": columns.SCHEMA_VERSION}
    if weights:
        records.write_artifact(key, WEIGHTS, b"weights")
    records.write(own | settings | record)
    return key


def test_the_lowest_validation_loss_of_each_configuration_stays(records):
    best = BestWeights(records, [])
    best.add(finished(records, "a", 0.5, seed=1))
    best.add(finished(records, "b", 0.3, seed=2, data_seed=2))
    best.add(finished(records, "c", 0.4, seed=3))
    assert records.with_weights() == {"b"}
    best.add(finished(records, "d", 0.9, strength=10.0))
    best.add(finished(records, "e", 0.8, **{"hp.lr": 0.1}))
    assert records.with_weights() == {"b", "d", "e"}, "another setting is another configuration"
    best.add(finished(records, "f", None, seed=4))
    best.add(finished(records, "g", 0.1, weights=False, status="diverged", seed=5))
    assert records.with_weights() == {"b", "d", "e"}, "a trial that diverged, or has no loss, is not the best"
    # A trial that is trained once more, as after a lost node, is itself.
    best.add(finished(records, "b", 0.3, seed=2, data_seed=2))
    assert records.with_weights() == {"b", "d", "e"}


def test_an_interrupted_command_and_its_repetitions_keep_one_of_each_configuration(records):
    for key, loss in (("a", 0.5), ("b", 0.3), ("c", 0.4)):
        best = BestWeights(records, records.load().records)
        best.add(finished(records, key, loss))
        assert len(records.with_weights()) == 1
    finished(records, "d", 0.2)  # and the driver was killed
    BestWeights(records, records.load().records)
    assert records.with_weights() == {"d"}


def test_weights_kept_by_an_earlier_command_compete_and_stay(records):
    records.write_manifest(Manifest(keep_weights="all"))
    finished(records, "a", 0.5, seed=1)
    finished(records, "b", 0.4, seed=2)
    finished(records, "c", 0.1, weights=False, seed=3)
    best = BestWeights(records, records.load().records)
    best.add(finished(records, "d", 0.45, seed=4))
    assert records.with_weights() == {"a", "b"}
    best.add(finished(records, "e", 0.35, seed=5))
    assert records.with_weights() == {"a", "b", "e"}, "the best that has weights; those of c are nowhere"
    best.add(finished(records, "f", 0.3, seed=6))
    assert records.with_weights() == {"a", "b", "f"}


def test_done_trials_without_weights_are_noted(records):
    plan = make_plan("smoke", None, {}, None)
    keys = list(plan.trials)[:6]
    first, *others = plan.trials.values()
    same = {"seed": None, "data_seed": None}
    twin = next(one for one in others if one.model_copy(update=same) == first.model_copy(update=same))
    for key in (*keys, twin.trial_key):
        finished(records, key, 0.5, weights=False, **plan.trials[key].columns())
    finished(records, "foreign", 0.5, weights=False)

    def number(keep):
        note = weights_note(keep, records, plan, records.load().records)
        return 0 if note is None else int(re.match(r"Not trained again for their weights: (\d) done trial", note)[1])

    assert [number(keep) for keep in ("none", "best", "all")] == [0, 7, 7]
    for key in keys:
        records.write_artifact(key, WEIGHTS, b"weights")
    assert [number(keep) for keep in ("none", "best", "all")] == [0, 0, 1], "the first trial has those of its twin"
    assert weights_note("all", records, plan, []) is None


@pytest.mark.slow
def test_a_sweep_keeps_the_best_and_notes_trials_without(tmp_path):
    """Four seeds of one configuration; the first is done before weights are kept."""
    command = [*TINY[:4], *TINY[6:], "--set", "strength=1", "--set", "method=rrr", "--max-trials", "4"]
    plan = make_plan("own_data", "synthetic", parse_settings(command[5:-2:2]), 4)
    run_sweep(tmp_path, *command[:-1], "1", "--name", "kept", "--tracking-uri", "none")
    ran = run_sweep(tmp_path, *command, "--name", "kept", "--keep-weights", "best")
    assert ran.code == 0, ran
    assert "Not trained again for their weights: 1 done trial." in ran.out.replace("\n", " ")
    records = SweepRecords(open_storage(tmp_path / "sweeps"), "kept")
    loaded = {record["trial_key"]: record for record in records.load().records}
    assert list(loaded) == sorted(plan.trials), "the keys are those of a sweep without weights"
    (kept,) = records.with_weights()
    losses = {key: loaded[key]["valid_id.loss"] for key in list(plan.trials)[1:]}
    assert losses[kept] == min(losses.values())
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    in_mlflow = [key for key, r in loaded.items() if client.list_artifacts(r["mlflow_run_id"], mirror.WEIGHTS_FOLDER)]
    assert in_mlflow == [kept]
    trial = load_model("kept", kept, storage=tmp_path / "sweeps")
    assert trial.score()["test_ood.auc"] == pytest.approx(loaded[kept]["test_ood.auc"], abs=1e-6)
