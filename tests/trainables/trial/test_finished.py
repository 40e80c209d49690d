"""A trial in Python: the same record as in a sweep, and its model read from storage."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from support import own_images
from support.commands import PATIENCE, ROOT
from support.recorded import SWEEP, records_in, results, run_to_the_end, started

from records import StorageError, columns
from records.store import MAPS, WEIGHTS, Record, as_table
from trainables import METHODS, ConfigurationError, TrialTrainable, load_model, resolve, run_trial, settings_of
from trainables.core.process import as_in_a_sweep
from trainables.datasets import DATASETS
from trainables.trial import data, training
from trainables.trial.finished import unpack_weights
from trainables.trial.trial import Trial

SMALL = {"n_train": 48, "n_valid": 32, "n_test": 48, "epochs": 2, "batch_size": 16, "severity": 1.0, "lr": 3e-3}
SMALL |= {"selection_warmup": 0, "attribution_images": 8, "integrated_gradients_steps": 4}
# The second has second derivatives, and therefore another layout of its weights in memory.
BOTH = [{"method": "actdiff", "strength": 1.0, "seed": 3}, {"method": "rrr", "strength": 10.0, "selection": "last"}]
BY_METHOD = pytest.mark.parametrize("own", BOTH, ids=lambda own: own["method"])
IN_A_FRESH_PROCESS = """
import json, sys
from sklearn.metrics import roc_auc_score
from trainables import load_model

trial = load_model("recorded", sys.argv[1], storage=sys.argv[2])
result = {"heavy": [name for name in ("ray", "mlflow") if name in sys.modules], "score": trial.score()}
for name, split in trial.splits.items():
    logits = trial.logits(split.images).detach().double()
    result[name] = roc_auc_score(split.labels, logits[:, 1] - logits[:, 0])
print(json.dumps(result))
"""


def swept(storage, settings, keep="all"):
    """The records of a sweep of one trial, and the trial's record."""
    (rows,) = run_to_the_end(started(storage, settings, keep_weights=keep))["finished"]
    return records_in(storage), records_in(storage).read(rows[0]["trial_key"])


@BY_METHOD
def test_run_trial_gives_the_record_and_maps_of_a_sweep(own, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    trial = run_trial(**SMALL, **own)
    assert torch.get_num_threads() == 2, "as it was"
    torch.set_num_threads(threads)
    records, record = swept(tmp_path, SMALL | own)
    assert results(trial.record) == results(record)
    assert trial.record["sweep"] is None
    kept = np.load(io.BytesIO(records.read_artifact(record["trial_key"], "maps.npz")))
    assert set(kept) == set(trial.maps)
    for name in kept:
        np.testing.assert_array_equal(kept[name], trial.maps[name])
    picture = records.read_artifact(record["trial_key"], "saliency.png")
    assert trial.picture().tobytes() == Image.open(io.BytesIO(picture)).tobytes()


@pytest.mark.parametrize("flushed", [False, True])
def test_threads_and_denormals_are_restored(flushed):
    tiny = torch.tensor(5e-324, dtype=torch.float64)
    before = bool(tiny + tiny == 0)
    torch.set_flush_denormal(flushed)
    try:
        with as_in_a_sweep():
            assert torch.get_num_threads() == 1
            assert tiny + tiny == 0
        assert (tiny + tiny == 0) == flushed
    finally:
        torch.set_flush_denormal(before)


@BY_METHOD
def test_a_loaded_model_reproduces_its_record(own, tmp_path):
    _, record = swept(tmp_path, SMALL | own)
    trial = load_model(SWEEP, record["trial_key"], storage=tmp_path)
    assert not trial.model.training
    for column, value in trial.score().items():
        assert record[column] == (None if value != value else pytest.approx(value, abs=1e-6)), column


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "bucket"])
@BY_METHOD
def test_a_fresh_process_reproduces_the_records_auc_and_iou(own, place, tmp_path, request):
    storage = str(tmp_path) if place == "folder" else f"{request.getfixturevalue('bucket')}/study"
    _, record = swept(storage, SMALL | own)
    program = [sys.executable, "-c", IN_A_FRESH_PROCESS, record["trial_key"], storage]
    # With the machine's own number of threads, as in a notebook.
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    loaded = json.loads(ran.stdout)
    assert loaded["heavy"] == []
    for split in columns.SPLITS:
        # scikit-learn's, of the logits: not this project's own.
        assert loaded[split] == pytest.approx(record[columns.performance(split, "auc")], abs=1e-6)
        assert loaded["score"][f"{split}.auc"] == pytest.approx(record[f"{split}.auc"], abs=1e-6)
    for split in columns.SCORED_SPLITS:
        for attribution in ("input_gradient", "integrated_gradients", "occlusion"):
            column = columns.localisation(split, "iou", attribution)
            assert loaded["score"][column] == pytest.approx(record[column], abs=1e-6)


@pytest.mark.parametrize("keep", ["none", "best", "all"])
def test_weights_are_no_part_of_the_record_or_its_key(keep, tmp_path):
    config = resolve(SMALL)
    records, record = swept(tmp_path, SMALL, keep)
    assert record["trial_key"] == config.trial_key
    assert record.keys() == run_trial(**SMALL).record.keys()
    assert (WEIGHTS in records.artifacts(config.trial_key)) == (keep != "none")
    assert records.with_weights() == (set() if keep == "none" else {config.trial_key})


def test_missing_weights_are_explained(tmp_path):
    _, record = swept(tmp_path, SMALL | BOTH[0], "none")
    with pytest.raises(ConfigurationError, match="ran without --keep-weights") as error:
        load_model(SWEEP, record["trial_key"], storage=tmp_path)
    call = str(error.value).partition("trainables.run_trial")[2]
    again = eval(f"dict{call}", {})  # noqa: S307
    assert resolve(again).trial_key == record["trial_key"]
    assert len(again) < len(resolve({}).flat()), "settings at their default are left out"


def saved(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def packed(data: bytes) -> bytes:
    """The same zip file, compressed and with a member that holds more than the file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member) + bytes(2**24 * member.filename.endswith("data/0")))
    return buffer.getvalue()


def bomb() -> bytes:
    """A zip file whose directory says that it holds 2 GiB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("0.npy", bytes(100))
    return buffer.getvalue().replace((100).to_bytes(4, "little"), (2**31).to_bytes(4, "little"))


def test_a_damaged_or_foreign_trial_is_refused(tmp_path):
    records, record = swept(tmp_path, SMALL)
    key = record["trial_key"]
    with pytest.raises(ConfigurationError, match=r"no trial 'abc' in .*/recorded, which has 1 trials"):
        load_model(SWEEP, "abc", storage=tmp_path)
    with pytest.raises(ConfigurationError, match=r"is another trial here \(.*\); n_train must be of the same images"):
        load_model(SWEEP, key, storage=tmp_path, n_train=64)
    other, _ = swept(tmp_path / "other", SMALL | {"seed": 1})
    whole = records.read_artifact(key, WEIGHTS)
    foreign = other.read_artifact(next(iter(other.with_weights())), WEIGHTS)
    good = torch.load(io.BytesIO(whole), weights_only=True)
    weights = good["weights"]
    name = next(iter(weights))
    values = torch.zeros(1), 1, torch.zeros(1).expand(2**40)
    contents = (
        *(torch.zeros(3), [], None, "a", {}, weights, {**good, "weights": torch.zeros(3)}, {**good, "more": 1}),
        *(
            {**good, "channels": 10**9},
            {**good, "classes": 10**9},
            {**good, "channels": 1.0},
            {**good, "classes": None},
        ),
        *({**good, "weights": {**weights, name: value}} for value in values),
        {**good, "weights": {1: torch.zeros(3)}},
    )
    pieces = (b"", whole[: len(whole) // 2], foreign, pickle.dumps(print, protocol=2), b"<html>", packed(whole), bomb())
    for bad in (*pieces, *map(saved, contents), saved(good, _use_new_zipfile_serialization=False)):
        with pytest.raises(ConfigurationError, match=rf"weights.pt of trial {key} cannot be used \(.+\); trainables"):
            unpack_weights(bad, resolve(SMALL))
    records.write_artifact(key, WEIGHTS, b"")
    with pytest.raises(ConfigurationError, match=rf"weights.pt of trial {key} cannot be used"):
        load_model(SWEEP, key, storage=tmp_path)
    records.write_artifact(key, WEIGHTS, whole)
    maps = records.read_artifact(key, MAPS)
    for bad in (b"", b"<html>", maps[: len(maps) // 2], maps.replace(b"\x08\0", b"\x63\0"), bomb()):
        records.write_artifact(key, MAPS, bad)
        with pytest.raises(ConfigurationError, match=rf"maps.npz of trial {key} cannot be used \(.+\); trainables"):
            load_model(SWEEP, key, storage=tmp_path)
    os.truncate(tmp_path / SWEEP / "artifacts" / key / MAPS, 2**40)
    with pytest.raises(StorageError, match=r"maps\.npz has 1,048,576 MiB; at most 1,024 MiB are read"):
        load_model(SWEEP, key, storage=tmp_path)
    records.write({**record, "status": "diverged"})
    records.delete_weights(key)
    with pytest.raises(ConfigurationError, match=r"diverged, and has no weights; its record says why"):
        load_model(SWEEP, key, storage=tmp_path)
    records.write({**record, "hp.dataset_revision": 1})
    with pytest.raises(ConfigurationError, match=r"bad value 1 for dataset_revision|is another trial here"):
        load_model(SWEEP, key, storage=tmp_path)


def in_tune(**settings):
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable.setup(settings)


@pytest.mark.parametrize("run", [run_trial, in_tune])
def test_data_are_checked_before_they_are_trained_on(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Trial, "train_epoch", lambda _: pytest.fail("it was trained"))
    own_images.make_folder(tmp_path / "mine", images=32)
    shutil.rmtree(tmp_path / "mine/masks")
    with pytest.raises(ConfigurationError, match="no image of label 'sick' in test_id has a mask"):
        run(dataset=f"folder:{tmp_path / 'mine'}", severity=1.0)


def test_data_are_checked_once_a_process(monkeypatch):
    checked = []
    data._check_once.cache_clear()
    monkeypatch.setattr(DATASETS["synthetic"], "check", lambda self: checked.append(self.data_seed))
    for settings in ({}, {"method": "rrr", "seed": 1}, {"data_seed": 1}):
        data.check_trial_data(resolve(SMALL | settings))
    data._check_once.cache_clear()
    assert checked == [0, 1]


@pytest.mark.slow
def test_own_images_may_have_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own_images.make_folder(tmp_path / "here", images=64)
    settings = {k: v for k, v in SMALL.items() if k not in ("n_train", "n_valid", "n_test")} | {"epochs": 1}
    _, record = swept(tmp_path, settings | {"dataset": f"folder:{tmp_path / 'here'}"})
    Path(tmp_path / "here").rename(tmp_path / "there")
    trial = load_model(SWEEP, record["trial_key"], storage=tmp_path, dataset=f"folder:{tmp_path / 'there'}")
    assert trial.score()["test_ood.auc"] == pytest.approx(record["test_ood.auc"], abs=1e-6)


def settings_of_every_kind():
    for method in sorted(METHODS.builtin):
        yield {"method": method, "strength": 2.5 * METHODS[method].has_penalty, "metrics": ("iou", "auroc")}
    for dataset in sorted(DATASETS.builtin):
        if "root" not in DATASETS[dataset].Options.model_fields:
            yield {"dataset": dataset, "mask_fraction": 0.5, "method": "masked", "precision": "bfloat16", "seed": 4}


def test_a_record_names_the_release_and_the_commit():
    release, _, commit = training.code_version().partition("+")
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
    assert release == version("saliency-sweep")
    assert head.startswith(commit.rstrip("+"))
    assert bool(commit) == (ROOT / ".git").exists()


def test_settings_are_recovered_from_records_and_rows():
    trials = [resolve(settings) for settings in settings_of_every_kind()]
    records = [Record(config.columns() | {"hp.searcher": "tpe", "status": "completed"}) for config in trials]
    for config, record in zip(trials, records, strict=True):
        stored = json.loads(json.dumps(record))
        assert resolve(settings_of(stored)) == config
    # In a table columns of integers that some trials lack hold floats, and what is missing is NaN.
    buffer = io.BytesIO()
    as_table(records).to_parquet(buffer)
    rows = pd.read_parquet(buffer)
    assert {resolve(settings_of(row)).trial_key for _, row in rows.iterrows()} == {one.trial_key for one in trials}
