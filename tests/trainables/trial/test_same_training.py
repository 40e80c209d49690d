"""Trials that share a training leave the same records as if trained separately."""

from typing import get_args

import pytest
from support import recorded
from support.recorded import records_in, results, run_to_the_end

from records import StorageError
from records.folder_storage import FolderStorage
from trainables import ConfigurationError, Trial, TrialTrainable, resolve
from trainables.core.config import Selection
from trainables.trial.same_training import by_training, flat, parse, training_key

SELECTIONS = get_args(Selection)
SMALL = {"n_train": 32, "n_valid": 16, "n_test": 16, "epochs": 6, "batch_size": 8, "lr": 3e-2, "severity": 0.8}
SMALL |= {"attributions": ("input_gradient",), "attribution_images": 2, "selection_warmup": 1}
PLAIN = [{"preset": preset, "selection": selection} for preset in ("fixed", "paper") for selection in SELECTIONS]


def configs(method, differences=PLAIN, **settings):
    weight = {"strength": 1.0} if method == "actdiff" else {}
    shared = {"empty_mask": "outside", "method": method, **weight, **SMALL, **settings}
    return [resolve({**shared, **difference}) for difference in differences]


def started(folder, *trials):
    (alike,) = by_training(trials)
    return recorded.started(folder, flat(alike), checkpoint_seconds=0.0)


def stored(folder):
    """By trial key, the record without times, and the artifacts."""
    records = records_in(folder)
    by_key = {}
    for record in records.load().records:
        key = record["trial_key"]
        artifacts = {name: records.read_artifact(key, name) for name in records.artifacts(key)}
        by_key[key] = results(record), artifacts
    return by_key


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """alone(trials): records and artifacts of separate trainings, one per configuration."""
    folder = tmp_path_factory.mktemp("alone")

    def run(trials):
        for trial in trials:
            if records_in(folder).read(trial.trial_key) is None:
                run_to_the_end(started(folder, trial))
        results = stored(folder)
        return {trial.trial_key: results[trial.trial_key] for trial in trials}

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "differences"),
    [("baseline", PLAIN), ("shuffled", PLAIN[1:5:2]), ("actdiff", PLAIN[4:])],
)
def test_records_equal_those_of_separate_trainings(method, differences, alone, tmp_path):
    trials = configs(method, differences)
    result = run_to_the_end(started(tmp_path, *trials))
    assert [r["trial_key"] for r in result["finished"][0]] == [t.trial_key for t in trials]
    assert stored(tmp_path) == alone(trials)
    assert recorded.checkpoints_in(tmp_path) == []
    if method == "baseline":
        chosen = {record["selection"]: record["best_epoch"] for record, _ in stored(tmp_path).values()}
        assert len(set(chosen.values())) == 3, f"the rules must choose three epochs to be told apart: {chosen}"


@pytest.mark.slow
def test_a_killed_training_resumes_for_all_trials(alone, tmp_path):
    trials = configs("baseline")
    killed = started(tmp_path, *trials)
    for _ in range(3):
        killed.step()
    del killed
    resumed = started(tmp_path, *trials)
    resumed.step()
    assert resumed.training.trial.epoch == 4, "it went on after the third epoch"
    run_to_the_end(resumed)
    assert stored(tmp_path) == alone(trials)


def test_a_kill_between_two_records_resumes_from_the_checkpoint(alone, tmp_path, monkeypatch):
    trials = configs("baseline")
    create = FolderStorage.create
    full = []

    def two_records(storage, name, data):
        if "/records/" in name:
            full.append(name)
            if len(full) > 2:
                raise StorageError("no room")
        return create(storage, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "create", two_records)
        assert run_to_the_end(started(tmp_path, *trials)) == {"storage_problem": "no room", "done": True}
    assert records_in(tmp_path).done() == {trial.trial_key for trial in trials[:2]}
    resumed = started(tmp_path, *trials[2:])
    resumed.step()
    assert len(records_in(tmp_path).done()) == 6, "one epoch was left to train"
    assert stored(tmp_path) == alone(trials)


@pytest.mark.parametrize(
    ("kept_for", "wanted", "epoch"),
    [
        ({"selection": "best_valid_id"}, {"selection": "best_valid_id"}, 4),
        ({"selection": "best_valid_id"}, {"selection": "last"}, 4),
        ({"selection": "best_valid_id"}, {"selection": "best_valid_ood"}, 1),
        ({"preset": "fixed"}, {"preset": "paper"}, 1),
        ({}, {"lr": 1e-3}, 1),
    ],
)
def test_a_checkpoint_resumes_only_the_rules_it_was_saved_for(kept_for, wanted, epoch, tmp_path, capsys):
    """The epochs that another rule would have chosen are lost, but `last` is chosen only at the end."""
    killed = started(tmp_path, *configs("baseline", [kept_for]))
    for _ in range(3):
        killed.step()
    resumed = started(tmp_path, *configs("baseline", [wanted]))
    resumed.step()
    assert resumed.training.trial.epoch == epoch


def test_a_trial_that_cannot_be_scored_leaves_the_others_alone(alone, tmp_path, monkeypatch, capsys):
    trials = configs("baseline", PLAIN[:3])
    evaluate = Trial.evaluate

    def broken(self, config):
        if config.selection == "best_valid_ood":
            raise ZeroDivisionError("no such score")
        return evaluate(self, config)

    monkeypatch.setattr(Trial, "evaluate", broken)
    result = run_to_the_end(started(tmp_path, *trials))
    statuses = {config.selection: r["status"] for config, r in zip(trials, result["finished"][0], strict=True)}
    assert statuses == {"last": "completed", "best_valid_id": "completed", "best_valid_ood": "failed"}
    monkeypatch.undo()
    results, expected = stored(tmp_path), alone(trials)
    for trial in trials:
        if trial.selection != "best_valid_ood":
            assert results[trial.trial_key] == expected[trial.trial_key]


def test_training_that_diverges_is_in_every_record(tmp_path, capsys):
    trials = configs("baseline", lr=1e30)
    run_to_the_end(started(tmp_path, *trials))
    records = records_in(tmp_path).load().records
    assert [r["status"] for r in records] == ["diverged"] * 6
    assert len({r["error"] for r in records}) == 1


def test_an_epoch_chosen_by_two_rules_is_scored_once(tmp_path, monkeypatch):
    trials = configs("baseline", PLAIN[:3], epochs=2)  # warm-up 1 of 2 epochs: all rules choose the last
    scored = []
    localise = Trial.localise
    monkeypatch.setattr(Trial, "localise", lambda self, config: scored.append(config) or localise(self, config))
    run_to_the_end(started(tmp_path, *trials))
    assert len(scored) == 1
    assert {r["best_epoch"] for r in records_in(tmp_path).load().records} == {1}


def test_trials_are_grouped_by_training():
    plain, penalised = configs("baseline"), configs("actdiff")
    assert [len(alike) for alike in by_training([*plain, *penalised])] == [6, 3, 3]
    apart = [configs("baseline", [{}], **one)[0] for one in ({"lr": 1e-3}, {"seed": 1}, {"selection_warmup": 0}, {})]
    assert [len(alike) for alike in by_training([*apart, plain[1]])] == [1, 1, 1, 2]
    default = resolve({})
    assert training_key(default) == default.trial_key, "the default selection stands for all"


def test_presets_that_blur_differently_share_a_training():
    settings = {"dataset": "digits_on_photos", "image_size": 64, "empty_mask": "outside"}
    fixed, paper = (resolve({**settings, "preset": preset}) for preset in ("fixed", "paper"))
    assert (fixed.blur_scale, paper.blur_scale) == (2, 1)
    for alike in ((fixed, paper), (paper, fixed)):
        assert by_training(alike) == [alike]
        assert parse(flat(alike)) == alike


@pytest.mark.parametrize(
    ("also", "pieces"),
    [
        ([{"lr": 0.5}], ("{'lr': 0.5}", "differ in selection only", "a trial of its own")),
        ([{"selection": "best_valid_id"}], ("names one trial twice", "name each once")),
        ([{"selection": "best"}], ("bad value 'best' for selection",)),
    ],
)
def test_trials_of_different_trainings_are_refused(also, pieces):
    with pytest.raises(ConfigurationError) as caught:
        parse({"method": "baseline", "also_scored_as": also})
    for piece in pieces:
        assert piece in str(caught.value)


def test_several_trials_need_a_recorder(tmp_path):
    trainable = TrialTrainable.__new__(TrialTrainable)
    with pytest.raises(ConfigurationError, match="needs a recorder"):
        trainable.setup({"also_scored_as": [{"selection": "last"}]})
