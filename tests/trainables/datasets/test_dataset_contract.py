"""The contract of every registered dataset, at every severity."""

import hashlib
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.read_cues import READ_CUES, UNREADABLE

from trainables.datasets import DATASETS, load
from trainables.datasets import dataset as dataset_module
from trainables.datasets.dataset import USUAL_SIDE, Split
from trainables.datasets.own.images import OwnImages

SEVERITIES = (0.0, 0.25, 0.5, 0.8, 1.0)
SPLITS = ("train", "valid_id", "valid_ood", "test_id", "test_ood")
# The cue of a user's own images and of X-rays cannot be changed in an image: own/ has their contract.
DRAWN = sorted(name for name, dataset in DATASETS.items() if not issubclass(dataset, OwnImages))
CASES = [(name, dict(options)) for name in DRAWN for options in DATASETS[name].contract_cases]


def fingerprint(splits) -> str:
    digest = hashlib.sha256()
    for name in SPLITS:
        for part in (splits[name].images, splits[name].masks, splits[name].distractors, splits[name].cues):
            digest.update(np.ascontiguousarray(part[:].numpy()).tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, (case[0], *case[1].values()))))
def case(request, tmp_path_factory):
    name, options = request.param
    # tests/support/tiny_NAME.py makes the files of a dataset that is read from files.
    if find_spec(f"support.tiny_{name}"):
        make = import_module(f"support.tiny_{name}").make
        options = {**options, "root": str(make(tmp_path_factory.mktemp(name)))}
    return name, options


@pytest.fixture(scope="module")
def build(case):
    name, options = case
    cache = {}

    def build(severity: float, data_seed: int = 0):
        if (severity, data_seed) not in cache:
            dataset = DATASETS[name](DATASETS[name].Options(**options), severity, data_seed)
            splits = {name: split.in_memory() for name, split in dataset.splits().items()}
            cache[severity, data_seed] = (splits, dataset.classes)
        return cache[severity, data_seed]

    build.dataset, build.options = DATASETS[name], DATASETS[name].Options(**options)
    return build


@pytest.mark.parametrize("severity", SEVERITIES)
def test_five_splits_of_the_promised_form(build, severity):
    splits, classes = build(severity)
    assert set(splits) == set(SPLITS)
    shorter, declared = min(splits["train"].images.shape[2:]), build.dataset.side(build.options)
    assert shorter == declared or max(shorter, declared) < 1.5 * USUAL_SIDE, "maps need another blur: override side"
    for name, split in splits.items():
        n = len(split)
        channels, height, width = split.images.shape[1:]
        assert split.images.dtype == torch.float32, name
        assert split.labels.dtype == split.cues.dtype == torch.int64
        assert split.masks.dtype == split.distractors.dtype == torch.bool
        assert split.images.shape == (n, channels, height, width)
        assert split.masks.shape == split.distractors.shape == (n, 1, height, width)
        assert split.labels.shape == split.cues.shape == (n,)
        assert split.images.min() >= 0
        assert 0.5 < split.images.max() <= 1, "the range is used"
        assert torch.bincount(split.labels).tolist() == [n // classes] * classes, "balanced"
        assert split.masks.flatten(1).any(dim=1).all()
        if build.dataset.cue_location == "object":
            assert torch.equal(split.masks, split.distractors)
        else:
            assert not (split.masks & split.distractors).any(), "mask and distractor are disjoint"
        assert split.distractors.flatten(1).any(dim=1).float().mean() > 0.95


@pytest.mark.parametrize("severity", SEVERITIES)
def test_agreement_is_counted_exactly(build, severity):
    splits, classes = build(severity)
    for name, split in splits.items():
        per_class = len(split) // classes
        if name.endswith("_ood"):
            expected = per_class * (1 - severity) / classes
        else:
            expected = per_class * (1 / classes + severity * (classes - 1) / classes)
        for label in range(classes):
            agreeing = (split.cues[split.labels == label] == label).sum().item()
            assert abs(agreeing - expected) <= 0.5 + 1e-9, (name, label)
            others = [(split.cues[split.labels == label] == cue).sum().item() for cue in range(classes) if cue != label]
            assert sum(others) == per_class - agreeing
            assert max(others) - min(others) <= 1


@pytest.mark.parametrize("severity", [0.0, 1.0])
def test_the_cue_is_what_can_be_read_from_the_pixels(build, case, severity):
    if case[0] not in READ_CUES:
        pytest.skip(f"tests/support/read_cues.py has no {case[0]}")
    splits, classes = build(severity)
    for name, split in splits.items():
        read = READ_CUES[case[0]](split, classes)
        readable = read != UNREADABLE
        assert readable.mean() > 0.95, (name, readable.mean())
        np.testing.assert_array_equal(read[readable], split.cues.numpy()[readable], err_msg=name)


def objects(split: Split) -> set[bytes]:
    """Each image inside its mask, whatever its colour: brightness to three digits, and black outside."""
    grey = (split.images.mean(dim=1, keepdim=True) * split.masks * 1000).round().short().numpy()
    return {image.tobytes() for image in grey}


def test_train_valid_and_test_share_no_object(build, case):
    splits, _ = build(1.0)
    parts = [objects(splits[name]) for name in ("train", "valid_ood", "test_ood")]
    different = sum(len(part) for part in parts)
    # Drawn objects may recur within a part.
    assert different > 0.95 * sum(len(splits[name]) for name in ("train", "valid_ood", "test_ood"))
    recur = build.dataset(build.dataset.Options(**case[1]), 1.0, 0).objects_recur
    assert (len(set.union(*parts)) < different) == recur


def different(first: Split, second: Split) -> torch.Tensor:
    return (first.images != second.images).any(dim=1, keepdim=True)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("part", ["valid", "test"])
def test_twins_differ_in_the_cue_alone(build, severity, part):
    splits, _ = build(severity)
    inside, outside = splits[f"{part}_id"], splits[f"{part}_ood"]
    assert torch.equal(inside.labels, outside.labels)
    assert torch.equal(inside.masks, outside.masks)
    changed = different(inside, outside)
    assert not (changed & ~(inside.distractors | outside.distractors)).any()
    other_cue = inside.cues != outside.cues
    assert torch.equal(changed.flatten(1).any(dim=1), other_cue)
    if severity == 0:
        assert not other_cue.any()
    if severity == 1:
        assert other_cue.all()


def test_severity_changes_the_cue_alone(build):
    reference, _ = build(0.0)
    for severity in SEVERITIES[1:]:
        splits, _ = build(severity)
        for name in SPLITS:
            assert torch.equal(splits[name].labels, reference[name].labels), name
            assert torch.equal(splits[name].masks, reference[name].masks)
            allowed = splits[name].distractors | reference[name].distractors
            assert not (different(splits[name], reference[name]) & ~allowed).any()


def test_more_severity_only_adds_agreeing_images_in_distribution(build):
    for name, order in (("train", SEVERITIES), ("test_id", SEVERITIES), ("test_ood", SEVERITIES[::-1])):
        agree = [build(s)[0][name].cues == build(s)[0][name].labels for s in order]
        for weaker, stronger in pairwise(agree):
            assert (stronger | ~weaker).all(), name


def test_data_seed_determines_the_data(build, case):
    name, options = case
    # With numbers as they come out of a table.
    again = DATASETS[name](DATASETS[name].Options(**options), np.float64(0.5), np.int64(0)).splits()
    assert fingerprint(again) == fingerprint(build(0.5, 0)[0])
    other = build(0.5, 1)[0]
    assert fingerprint(other) != fingerprint(again)
    assert not torch.equal(other["train"].images, again["train"].images[:])
    assert not torch.equal(other["train"].masks, again["train"].masks[:])


def test_global_generators_are_neither_read_nor_moved(case):
    name, options = case
    results = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
        results.append(fingerprint(DATASETS[name](DATASETS[name].Options(**options), 0.5, 0).splits()))
        assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
        assert torch.equal(torch.random.get_rng_state(), before[1])
    assert results[0] == results[1]


def test_load_returns_the_same_splits_and_caches_them(case, build, monkeypatch):
    name, options = case
    chosen = DATASETS[name].Options(**options)
    splits = load(DATASETS[name], chosen, 0.5, 0)
    assert tuple(splits) == SPLITS
    assert fingerprint(splits) == fingerprint(build(0.5, 0)[0])
    assert load(DATASETS[name], chosen, 0.5, 0)["train"] is splits["train"]
    assert load(DATASETS[name], chosen, 0.8, 0)["train"] is not splits["train"]
    monkeypatch.setattr(dataset_module, "MAX_BYTES", 0)
    assert load(DATASETS[name], chosen, 1.0, 0) is load(DATASETS[name], chosen, 1.0, 0), "the latest is kept"
    assert len(dataset_module._CACHE) == 1, "memory bounds what is kept"
