"""A pack in Tune's hands: each member leaves what it leaves alone, but for rounding."""

import io
import re

import numpy as np
import pytest
import torch
from commands import ROOT

from records import StorageError, SweepRecords, columns, open_storage
from records.folder_storage import FolderStorage
from records.mirror import open_experiment
from trainables import ConfigurationError, Recorder, Trial, TrialTrainable
from trainables.packing import STACKED, STACKED_MODELS, PackTrainable, StackedTrials
from trainables.packing.pack import VARIES, flat, parse
from trainables.recorder import failure
from trainables.same_training import by_training


def started(folder, pack, trainable_class=PackTrainable, experiment=None, checkpoint_seconds=0.0):
    """A trainable as Tune's actor holds it, that keeps a checkpoint after each epoch."""
    trainable = trainable_class.__new__(trainable_class)
    recorder = Recorder(str(folder), "s", experiment, checkpoint_seconds=checkpoint_seconds)
    trainable.setup(flat(pack), recorder=recorder)
    return trainable


def run_to_the_end(trainable):
    while not (result := trainable.step()).get("done"):
        pass
    return result


def records_in(folder):
    return SweepRecords(open_storage(folder), "s")


def alone(folder, pack):
    for training in pack:
        run_to_the_end(started(folder, (training,), TrialTrainable))


def assert_alike(folder, expected_folder, tolerance):
    """Records but for times, epochs and maps."""
    found, expected = records_in(folder), records_in(expected_folder)
    assert found.done() == expected.done()
    assert found.storage.names("s/checkpoints/") == []
    for key in expected.done():
        mine, theirs = found.read(key), expected.read(key)
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            if not columns.is_run_specific(name):
                same = pytest.approx(value, rel=tolerance, abs=tolerance) if isinstance(value, float) else value
                assert mine[name] == same, (key, name)
        assert found.artifacts(key) == expected.artifacts(key)
        for name in found.artifacts(key):
            if name == "maps.npz":
                maps, others = (np.load(io.BytesIO(r.read_artifact(key, name))) for r in (found, expected))
                assert set(maps) == set(others)
                for array in maps:
                    np.testing.assert_allclose(maps[array], others[array], rtol=tolerance, atol=tolerance)


@pytest.fixture
def pack(members):
    """Three trainings, the first with trials under two selection rules; settings(method, **further) makes it."""

    def build(method="gradmask", **settings):
        first, *others = members(method, **settings)
        return tuple(by_training([first, first.model_copy(update={"selection": "last"}), *others]))

    return build


def test_each_member_leaves_record_artifacts_and_mlflow_run_as_alone(pack, tmp_path):
    trainings = pack()
    experiment = open_experiment(f"sqlite:///{tmp_path / 'mlflow.db'}", "s")
    result = run_to_the_end(started(tmp_path / "packed", trainings, experiment=experiment))
    alone(tmp_path / "alone", trainings)
    keys = [config.trial_key for training in trainings for config in training]
    assert [record["trial_key"] for record in result["records"]] == keys
    assert [record["mirror_problem"] for record in result["records"]] == [None] * 4
    assert all(records_in(tmp_path / "packed").read(key)["mlflow_run_id"] for key in keys)
    assert all("saliency.png" in records_in(tmp_path / "packed").artifacts(key) for key in keys)
    # Single precision: rounding of 6e-8 grows over the steps, and more in the maps' maxima.
    assert_alike(tmp_path / "packed", tmp_path / "alone", 2e-3)


def test_of_a_single_training_it_does_what_the_trial_does(pack, tmp_path):
    (one, *_) = pack()
    trainable = started(tmp_path / "packed", (one,))
    assert "valid_id.auc" in trainable.step()
    run_to_the_end(trainable)
    alone(tmp_path / "alone", (one,))
    assert_alike(tmp_path / "packed", tmp_path / "alone", 0.0)


def test_one_that_diverges_leaves_its_own_record_and_the_others_go_on(pack, tmp_path, capsys):
    trainings = pack("baseline")
    wild = trainings[1][0].model_copy(update={"lr": 1e30})
    trainings = (trainings[0], (wild,), trainings[2])
    run_to_the_end(started(tmp_path / "packed", trainings))
    alone(tmp_path / "alone", trainings)
    record = records_in(tmp_path / "packed").read(wild.trial_key)
    assert record["status"] == "diverged"
    assert record["error"] == records_in(tmp_path / "alone").read(wild.trial_key)["error"]
    assert_alike(tmp_path / "packed", tmp_path / "alone", 2e-3)


@pytest.mark.parametrize("where", ["start", "stacked", "scored"])
def test_one_that_raises_leaves_its_own_record_and_the_others_go_on(where, pack, tmp_path, monkeypatch, capsys):
    """In the stack it cannot be told whose fault it was: each trains by itself, and then it can."""
    trainings = pack("baseline", epochs=1)
    bad = trainings[2][0]
    name = {"start": "__init__", "stacked": "next_order", "scored": "evaluate"}[where]
    original = getattr(Trial, name)

    def broken(self, *arguments):
        if where == "start":
            original(self, *arguments)
        if self.config.trial_key == bad.trial_key:
            raise ZeroDivisionError("no such number")
        return None if where == "start" else original(self, *arguments)

    monkeypatch.setattr(Trial, name, broken)
    result = run_to_the_end(started(tmp_path, trainings))
    assert [record["status"] for record in result["records"]] == ["completed", "completed", "completed", "failed"]
    error = records_in(tmp_path).read(bad.trial_key)["error"]
    assert error.startswith(failure(ZeroDivisionError("no such number"))["error"].splitlines()[0])
    assert records_in(tmp_path).storage.names("s/checkpoints/") == []


def test_killed_after_an_epoch_all_go_on_as_if_not_killed(pack, tmp_path):
    trainings = pack("shuffled", epochs=3)
    run_to_the_end(started(tmp_path / "whole", trainings))
    killed = started(tmp_path / "killed", trainings)
    killed.step()
    del killed
    assert len(records_in(tmp_path / "killed").storage.names("s/checkpoints/")) == 3
    resumed = started(tmp_path / "killed", trainings)
    resumed.step()
    assert [training.trial.epoch for training in resumed.trainings] == [2, 2, 2]
    run_to_the_end(resumed)
    assert_alike(tmp_path / "killed", tmp_path / "whole", 0.0)


def test_killed_between_two_records_those_that_are_there_stay_as_they_are(pack, tmp_path, monkeypatch):
    """Tried again with the whole pack, as Tune does it."""
    trainings = pack("baseline")
    run_to_the_end(started(tmp_path / "whole", trainings))
    write, full = FolderStorage.write, []

    def one_record(storage, name, data):
        if "/records/" in name:
            full.append(name)
            if len(full) > 1:
                raise StorageError("no room")
        write(storage, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "write", one_record)
        assert run_to_the_end(started(tmp_path / "killed", trainings)) == {"storage_problem": "no room", "done": True}
    (done,) = records_in(tmp_path / "killed").done()
    before = records_in(tmp_path / "killed").read(done)
    result = run_to_the_end(started(tmp_path / "killed", trainings))
    assert records_in(tmp_path / "killed").read(done) == before
    assert len(result["records"]) == 4, "the driver is told of all"
    assert_alike(tmp_path / "killed", tmp_path / "whole", 0.0)


def test_a_retry_trains_no_member_that_is_done(pack, tmp_path, monkeypatch):
    trainings = pack("baseline", epochs=1)
    run_to_the_end(started(tmp_path, trainings[:2]))
    sizes = []
    train_epoch = StackedTrials.train_epoch
    monkeypatch.setattr(StackedTrials, "train_epoch", lambda s: sizes.append(len(s.trials)) or train_epoch(s))
    result = run_to_the_end(started(tmp_path, trainings))
    assert sizes == [1]
    assert [record["status"] for record in result["records"]] == ["completed"] * 4


def test_tunes_own_checkpoint_holds_all_members(pack, tmp_path):
    trainings = pack("baseline", epochs=3)
    first = started(tmp_path / "a", trainings, checkpoint_seconds=3600.0)
    first.step()
    first.save_checkpoint(str(tmp_path))
    second = started(tmp_path / "b", trainings, checkpoint_seconds=3600.0)
    second.load_checkpoint(str(tmp_path))
    second.step()
    assert [training.trial.epoch for training in second.trainings] == [2, 2, 2]
    run_to_the_end(first)
    run_to_the_end(second)
    assert_alike(tmp_path / "b", tmp_path / "a", 0.0)


def test_out_of_memory_the_pack_is_tried_again(pack, tmp_path, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trial, "next_order", full)
    with pytest.raises(torch.OutOfMemoryError):
        started(tmp_path, pack()).step()
    assert records_in(tmp_path).done() == set()


def test_stopped_each_member_leaves_a_checkpoint(pack, tmp_path):
    trainable = started(tmp_path, pack("baseline"), checkpoint_seconds=3600.0)
    trainable.step()
    assert records_in(tmp_path).storage.names("s/checkpoints/") == []
    trainable.cleanup()
    assert len(records_in(tmp_path).storage.names("s/checkpoints/")) == 3


def test_there_and_back(pack):
    trainings = pack()
    assert parse(flat(trainings)) == trainings
    assert flat(trainings[1:2]) == trainings[1][0].flat()


def test_the_page_names_what_can_be_packed():
    page = (ROOT / "docs/packing.md").read_text()
    which = page[page.index("**Which.**") : page.index("**What it leaves.**")]
    named = set(re.findall(r"`([a-z0-9_]+)`", which))
    assert named == {*STACKED, *STACKED_MODELS, *VARIES}


def test_without_a_recorder_a_pack_is_refused(pack):
    trainable = PackTrainable.__new__(PackTrainable)
    with pytest.raises(ConfigurationError, match="a pack needs a recorder: without one a trial reports a single"):
        trainable.setup(flat(pack()))
