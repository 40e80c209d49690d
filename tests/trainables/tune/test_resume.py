"""A trial that is killed at any epoch and taken up again leaves the record of one that was not."""

import threading

import numpy as np
import pytest

from records import StorageError, SweepRecords, columns, open_storage
from records.folder_storage import FolderStorage
from trainables import METHODS, MODELS, Recorder, TrialTrainable
from trainables.core.process import is_transient
from trainables.tune import recorder as recorder_module
from trainables.tune import training as training_module

SMALL = {"n_train": 24, "n_valid": 16, "n_test": 16, "epochs": 3, "batch_size": 8, "attribution_images": 2}
SMALL |= {"integrated_gradients_steps": 2, "selection_warmup": 0, "severity": 1.0}


def settings(method, model="small_cnn"):
    own = {"disc_width": 8} if method == "adversarial" else {}
    if model == "resnet18":
        own |= {"n_train": 8, "n_valid": 8, "n_test": 8, "batch_size": 4}
        own |= {"ibp_epsilon": 1e-24} if method == "ibp_ex" else {}
    return {**SMALL, **own, "method": method, "model": model, "strength": float(METHODS[method].has_penalty)}


def started(folder, config, checkpoint_seconds=0.0):
    """A trainable as Tune's actor holds it, that keeps a checkpoint after each epoch."""
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable.setup(config, recorder=Recorder(str(folder), "resumed", checkpoint_seconds))
    return trainable


def run_to_the_end(trainable):
    while not (result := trainable.step()).get("done"):
        pass
    return result


def same_but_for_times(record):
    return {k: v for k, v in record.items() if not columns.is_run_specific(k)}


def stored(folder):
    (record,) = SweepRecords(open_storage(folder), "resumed").load().records
    return record


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("method", sorted(METHODS))
def test_killed_after_an_epoch_and_resumed_equals_not_killed(method, model, tmp_path):
    config = settings(method, model) | {"attributions": ("input_gradient",)}
    run_to_the_end(started(tmp_path / "whole", config))
    killed = started(tmp_path / "killed", config)
    killed.step()
    del killed
    records = SweepRecords(open_storage(tmp_path / "killed"), "resumed")
    assert len(records.storage.names("resumed/checkpoints/")) == 1
    resumed = started(tmp_path / "killed", config)
    resumed.step()
    assert resumed.training.trial.epoch == 2, "it went on after the first epoch instead of starting over"
    run_to_the_end(resumed)
    assert stored(tmp_path / "whole")["status"] == "completed"
    assert same_but_for_times(stored(tmp_path / "killed")) == same_but_for_times(stored(tmp_path / "whole"))
    assert records.storage.names("resumed/checkpoints/") == [], "a finished trial leaves no checkpoint"
    for file in ("maps.npz", "epochs.json"):
        key = stored(tmp_path / "whole")["trial_key"]
        whole = SweepRecords(open_storage(tmp_path / "whole"), "resumed").read_artifact(key, file)
        assert records.read_artifact(key, file) == whole


def test_without_the_interval_passed_no_checkpoint_is_kept_until_it_is_stopped(tmp_path):
    trainable = started(tmp_path, settings("baseline"), checkpoint_seconds=3600.0)
    trainable.step()
    storage = open_storage(tmp_path)
    assert storage.names("resumed/checkpoints/") == []
    trainable.cleanup()
    assert len(storage.names("resumed/checkpoints/")) == 1


def test_an_actor_that_is_given_the_next_trial_keeps_the_unfinished_one(tmp_path):
    trainable = started(tmp_path, settings("baseline"), checkpoint_seconds=3600.0)
    trainable.step()
    trainable.reset_config(settings("masked"))
    assert len(open_storage(tmp_path).names("resumed/checkpoints/")) == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "pickle"])
def test_a_damaged_checkpoint_starts_the_trial_over(damage, tmp_path, capsys):
    import pickle

    config = settings("baseline")
    run_to_the_end(started(tmp_path / "whole", config))
    killed = started(tmp_path / "killed", config)
    killed.step()
    records = SweepRecords(open_storage(tmp_path / "killed"), "resumed")
    key = killed.training.key
    whole = records.storage.read(records.checkpoint(key))
    other = started(tmp_path / "other", config | {"seed": 7})
    other.step()
    foreign = open_storage(tmp_path / "other").read(records.checkpoint(other.training.key))
    bad = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "foreign": foreign,
        "pickle": pickle.dumps(print, protocol=2),
    }[damage]
    records.storage.write(records.checkpoint(key), bad)
    run_to_the_end(started(tmp_path / "killed", config))
    assert "starting over" in capsys.readouterr().out
    assert same_but_for_times(stored(tmp_path / "killed")) == same_but_for_times(stored(tmp_path / "whole"))


def test_a_trial_that_raises_leaves_a_record_with_the_reason_and_the_tail(tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise ZeroDivisionError("no such number, key swordfish")

    monkeypatch.setenv("MY_SECRET", "swordfish")
    monkeypatch.setattr(training_module.Trial, "train_epoch", broken)
    result = started(tmp_path, settings("baseline")).step()
    assert result["done"]
    record = stored(tmp_path)
    assert record["status"] == "failed"
    first, *tail = record["error"].splitlines()
    assert first == "ZeroDivisionError: no such number, key ***"
    assert any("in broken" in line for line in tail)
    assert "swordfish" not in record["error"]


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("x"), False),
    ],
)
def test_what_is_tried_again(error, retry, tmp_path, monkeypatch, capsys):
    assert is_transient(error) is retry
    monkeypatch.setattr(training_module.Trial, "train_epoch", lambda _: (_ for _ in ()).throw(error))
    trainable = started(tmp_path, settings("baseline"))
    if retry:
        with pytest.raises(type(error)):
            trainable.step()
        assert SweepRecords(open_storage(tmp_path), "resumed").done() == set()
    else:
        trainable.step()
        assert stored(tmp_path)["status"] == "failed"


def test_a_trial_that_cannot_write_its_record_says_so_and_counts_as_not_run(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise StorageError("cannot write it: No space left on device; make room there")

    trainable = started(tmp_path, settings("baseline"))
    monkeypatch.setattr(FolderStorage, "write", full)
    while not (result := trainable.step()).get("done"):
        trainable.training.keep = full  # the checkpoint cannot be written either
    assert result == {"storage_problem": "cannot write it: No space left on device; make room there", "done": True}
    trainable.cleanup()
    assert SweepRecords(open_storage(tmp_path), "resumed").done() == set()


def in_background(folder, config):
    trainable = TrialTrainable.__new__(TrialTrainable)
    recorder = Recorder(str(folder), "resumed", report_seconds=60.0, in_background=True)
    trainable.setup(config, recorder=recorder)
    return trainable


def test_a_record_is_written_while_the_next_trial_runs_and_reported_once_it_is_there(tmp_path, monkeypatch):
    started, go_on = threading.Event(), threading.Event()
    write = SweepRecords.write

    def slow(records, record):
        started.set()
        go_on.wait(60)
        write(records, record)

    monkeypatch.setattr(SweepRecords, "write", slow)
    trainable = in_background(tmp_path, settings("baseline"))
    assert trainable.step() == {"done": True}, "all epochs are in one step"
    first = trainable.training.trials[0].trial_key
    assert started.wait(60)
    trainable.reset_config(settings("masked"))
    records = SweepRecords(open_storage(tmp_path), "resumed")
    assert records.done() == set()
    go_on.set()
    (rows,) = trainable.step()["finished"]
    assert [row["trial_key"] for row in rows] == [first]
    trainable.cleanup()
    assert records.done() == {first, trainable.training.trials[0].trial_key}


def test_a_record_that_cannot_be_written_in_the_background_is_the_next_results_problem(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise StorageError("No space left on device")

    trainable = in_background(tmp_path, settings("baseline"))
    with monkeypatch.context() as patched:
        patched.setattr(SweepRecords, "write", full)
        assert trainable.step() == {"done": True}
        trainable.reset_config(settings("masked"))
        assert trainable.step() == {"storage_problem": "No space left on device", "done": True}
        trainable.cleanup()
    assert SweepRecords(open_storage(tmp_path), "resumed").done() == set()


def test_a_picture_that_cannot_be_drawn_costs_the_picture_alone(tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise IndexError("index 1 is out of bounds")

    monkeypatch.setattr(recorder_module, "picture_of", broken)
    run_to_the_end(started(tmp_path, settings("baseline")))
    record = stored(tmp_path)
    assert (record["status"], record["error"]) == ("completed", None)
    kept = SweepRecords(open_storage(tmp_path), "resumed").artifacts(record["trial_key"])
    assert set(kept) == {"epochs.json", "maps.npz"}
    assert f"no picture of the maps of {record['trial_key']}: IndexError: index 1" in capsys.readouterr().out


def test_maps_without_pickle(tmp_path):
    import io

    run_to_the_end(started(tmp_path, settings("baseline")))
    data = SweepRecords(open_storage(tmp_path), "resumed").read_artifact(stored(tmp_path)["trial_key"], "maps.npz")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert set(arrays) >= {"labels", "test_id.images", "test_ood.masks"}
