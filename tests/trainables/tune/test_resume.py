"""A trial that is killed at any epoch and taken up again leaves the record of one that was not."""

import threading

import pytest
from support.recorded import checkpoints_in, records_in, results, run_to_the_end, started, stored

from records import StorageError, SweepRecords
from records.folder_storage import FolderStorage
from trainables import METHODS, MODELS
from trainables.core.process import is_transient
from trainables.tune import recorder as recorder_module
from trainables.tune import training as training_module

SMALL = {"n_train": 24, "n_valid": 16, "n_test": 16, "epochs": 3, "batch_size": 8, "attribution_images": 2}
IN_BACKGROUND = {"report_seconds": 60.0, "in_background": True}
SMALL |= {"integrated_gradients_steps": 2, "selection_warmup": 0, "severity": 1.0}


def settings(method, model="small_cnn"):
    smaller = {"disc_width": 8} if method == "adversarial" else {}
    if model == "resnet18":
        smaller |= {"n_train": 8, "n_valid": 8, "n_test": 8, "batch_size": 4}
        smaller |= {"ibp_epsilon": 1e-24} if method == "ibp_ex" else {}
    return {**SMALL, **smaller, "method": method, "model": model, "strength": float(METHODS[method].has_penalty)}


CASES = [(method, model) for method in sorted(METHODS) for model in sorted(MODELS)]
# One with batch normalisation, and one with dropout.
OTHERS = [("rrr", "timm:resnet10t"), ("hint", "torchvision:mobilenet_v3_small")]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS]


@pytest.mark.parametrize(("method", "model"), CASES)
def test_killed_after_an_epoch_and_resumed_equals_not_killed(method, model, tmp_path):
    config = settings(method, model) | {"attributions": ("input_gradient",)}
    run_to_the_end(started(tmp_path / "whole", config))
    killed = started(tmp_path / "killed", config, checkpoint_seconds=0.0)
    killed.step()
    del killed
    records = records_in(tmp_path / "killed")
    assert len(checkpoints_in(tmp_path / "killed")) == 1
    resumed = started(tmp_path / "killed", config, checkpoint_seconds=0.0)
    resumed.step()
    assert resumed.training.trial.epoch == 2, "it went on after the first epoch instead of starting over"
    run_to_the_end(resumed)
    assert stored(tmp_path / "whole")["status"] == "completed"
    assert results(stored(tmp_path / "killed")) == results(stored(tmp_path / "whole"))
    assert checkpoints_in(tmp_path / "killed") == [], "a finished trial leaves no checkpoint"
    for file in ("maps.npz", "epochs.json"):
        key = stored(tmp_path / "whole")["trial_key"]
        whole = records_in(tmp_path / "whole").read_artifact(key, file)
        assert records.read_artifact(key, file) == whole


def test_without_the_interval_passed_no_checkpoint_is_kept_until_it_is_stopped(tmp_path):
    trainable = started(tmp_path, settings("baseline"), checkpoint_seconds=3600.0)
    trainable.step()
    assert checkpoints_in(tmp_path) == []
    trainable.cleanup()
    assert len(checkpoints_in(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "pickle"])
def test_a_damaged_checkpoint_starts_the_trial_over(damage, tmp_path, capsys):
    import pickle

    config = settings("baseline")
    run_to_the_end(started(tmp_path / "whole", config))
    killed = started(tmp_path / "killed", config, checkpoint_seconds=0.0)
    killed.step()
    records = records_in(tmp_path / "killed")
    key = killed.training.key
    whole = records.storage.read(records.checkpoint(key))
    other = started(tmp_path / "other", config | {"seed": 7}, checkpoint_seconds=0.0)
    other.step()
    foreign = records_in(tmp_path / "other").storage.read(records.checkpoint(other.training.key))
    bad = {"empty": b"", "cut": whole[: len(whole) // 2], "foreign": foreign, "pickle": pickle.dumps(print, protocol=2)}
    records.storage.write(records.checkpoint(key), bad[damage])
    run_to_the_end(started(tmp_path / "killed", config, checkpoint_seconds=0.0))
    assert "starting over" in capsys.readouterr().out
    assert results(stored(tmp_path / "killed")) == results(stored(tmp_path / "whole"))


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
        assert records_in(tmp_path).done() == set()
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
    assert records_in(tmp_path).done() == set()


def test_a_record_is_written_while_the_next_trial_runs_and_reported_once_it_is_there(tmp_path, monkeypatch):
    writing, go_on = threading.Event(), threading.Event()
    add = SweepRecords.add

    def slow(records, record):
        writing.set()
        go_on.wait(60)
        add(records, record)

    monkeypatch.setattr(SweepRecords, "add", slow)
    trainable = started(tmp_path, settings("baseline"), **IN_BACKGROUND)
    assert trainable.step() == {"done": True}, "all epochs are in one step"
    first = trainable.training.trials[0].trial_key
    assert writing.wait(60)
    trainable.reset_config(settings("masked"))
    records = records_in(tmp_path)
    assert records.done() == set()
    go_on.set()
    (rows,) = trainable.step()["finished"]
    assert [row["trial_key"] for row in rows] == [first]
    trainable.cleanup()
    assert records.done() == {first, trainable.training.trials[0].trial_key}


def test_a_record_that_cannot_be_written_in_the_background_is_the_next_results_problem(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise StorageError("No space left on device")

    trainable = started(tmp_path, settings("baseline"), **IN_BACKGROUND)
    with monkeypatch.context() as patched:
        patched.setattr(SweepRecords, "add", full)
        assert trainable.step() == {"done": True}
        trainable.reset_config(settings("masked"))
        assert trainable.step() == {"storage_problem": "No space left on device", "done": True}
        trainable.cleanup()
    assert records_in(tmp_path).done() == set()


def test_a_picture_that_cannot_be_drawn_costs_the_picture_alone(tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise IndexError("index 1 is out of bounds")

    monkeypatch.setattr(recorder_module, "picture_of", broken)
    run_to_the_end(started(tmp_path, settings("baseline")))
    record = stored(tmp_path)
    assert (record["status"], record["error"]) == ("completed", None)
    kept = records_in(tmp_path).artifacts(record["trial_key"])
    assert set(kept) == {"epochs.json", "maps.npz"}
    assert f"no picture of the maps of {record['trial_key']}: IndexError: index 1" in capsys.readouterr().out
