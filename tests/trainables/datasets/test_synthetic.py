"""The crosses against the published files' checksums, and the cue and masks against the recipe's words."""

import hashlib
from itertools import product

import numpy as np
import pytest

from trainables import ConfigurationError, resolve
from trainables.datasets.synthetic import (
    Synthetic,
    SyntheticOptions,
    blocks,
    crosses,
    single_crosses,
)

# First 16 hex digits of SHA-256 over the uint8 array [512, 28, 28] of the published files 1, 2 and 3:
# images with the block, then cross pixels alone. Computed from the recipe without this package.
CHECKSUMS = {
    ("hard", 1): ("39c42517e46a8b61", "5175191862956c69"),
    ("hard", 2): ("357b6e00f7bb4859", "243cae3196272e45"),
    ("hard", 3): ("46d3dbde04b8df19", "f5eb52738e235455"),
    ("easy", 1): ("f21334a7ad00fda1", "0e130f1f6ef06331"),
    ("easy", 2): ("db477f7d34f1cd77", "68bd1a52a7b415fa"),
    ("easy", 3): ("d8bcb3e41836c471", "60d100df3a742cf7"),
}


def checksum(array: np.ndarray) -> str:
    assert array.shape == (512, 28, 28)
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(("variant", "seed"), CHECKSUMS)
def test_generator_gives_the_published_files(variant, seed):
    masks, labels = crosses(512, seed, variant)
    images = masks | blocks(labels, variant)
    assert (checksum(images), checksum(masks)) == CHECKSUMS[variant, seed]
    assert labels.tolist() == [0] * 256 + [1] * 256


@pytest.mark.parametrize(("variant", "arms", "expected"), [("hard", (1, 2), 1252), ("easy", (3, 4), 884)])
def test_single_crosses_are_counted(variant, arms, expected):
    possible = set()
    for arm in arms:
        for row, column in product(range(arm, 28 - arm), repeat=2):
            image = np.zeros((28, 28), dtype=bool)
            image[row, column - arm : column + arm + 1] = image[row - arm : row + arm + 1, column] = True
            possible.add(image.tobytes())
    masks, labels = crosses(512, 9, variant)
    assert len(possible) == single_crosses(variant) == expected
    assert {mask.tobytes() for mask in masks[labels == 0]} < possible


def shown(split, what: str) -> list[bytes]:
    return [array.tobytes() for array in getattr(split, what)[:, 0].numpy()]


@pytest.mark.parametrize("variant", ["hard", "easy"])
def test_no_cross_is_in_two_parts_and_no_image_in_training_and_test(variant):
    splits = Synthetic(SyntheticOptions(variant=variant), severity=1.0, data_seed=0).splits()
    train, valid, test = (set(shown(splits[name], "masks")) for name in ("train", "valid_id", "test_id"))
    assert len(train | valid | test) == len(train) + len(valid) + len(test)
    trained_on = set(shown(splits["train"], "images"))
    assert not any(image in trained_on for name in ("test_id", "test_ood") for image in shown(splits[name], "images"))
    assert [len(splits[name]) for name in ("train", "valid_id", "test_id")] == [1000, 512, 2000]
    assert splits["test_id"].labels.tolist() == [0] * 1000 + [1] * 1000


@pytest.mark.parametrize("variant", ["hard", "easy"])
def test_splits_at_severity_one_are_the_published_files_except_for_redrawn_crosses(variant):
    options = SyntheticOptions(variant=variant, n_train=512, n_valid=512, n_test=512)
    splits = Synthetic(options, severity=1.0, data_seed=0).splits()
    images, masks = splits["train"].images[:, 0].numpy(), splits["train"].masks[:, 0].numpy()
    assert set(np.unique(images)) == {0.0, 1.0}
    assert (checksum(images), checksum(masks)) == CHECKSUMS[variant, 1]
    earlier = set(shown(splits["train"], "masks"))
    for split, file in (("valid_ood", 2), ("test_ood", 3)):
        # The paper flips image and mask of evaluation images left to right, which reverses the cue.
        masks, labels = crosses(512, file, variant)
        images = (masks | blocks(labels, variant))[:, :, ::-1]
        kept = np.array([np.ascontiguousarray(mask).tobytes() not in earlier for mask in masks[:, :, ::-1]])
        np.testing.assert_array_equal(splits[split].images[:, 0].numpy()[kept], images[kept])
        assert 0.7 < kept.mean() < 0.95
        assert splits[split].labels.tolist() == labels.tolist()
        earlier |= set(shown(splits[split], "masks"))


def test_variant_paper_keeps_images_and_keys():
    """The key is from before the other variants changed; the published files share crosses."""
    config = resolve({"variant": "paper", "n_train": 500, "n_valid": 128, "n_test": 128})
    assert (config.dataset_revision, config.trial_key) == (1, "419d32285def1722")
    assert [resolve({"variant": variant}).dataset_revision for variant in ("hard", "easy")] == [2, 2]
    splits = Synthetic(SyntheticOptions(**config.dataset_options), severity=1.0, data_seed=0).splits()
    trained_on = set(shown(splits["train"], "images"))
    assert sum(image in trained_on for image in shown(splits["test_id"], "images")) == 20


@pytest.mark.parametrize(("variant", "n_train", "most"), [("hard", 1991, 2502), ("easy", 1255, 1766)])
def test_sizes_that_would_need_shared_crosses_are_refused(variant, n_train, most):
    settings = {"variant": variant, "n_valid": 512, "n_test": 8}
    message = f"n_train {n_train} and n_valid 512 for variant '{variant}'.*from {n_train + 512} to at most {most}$"
    with pytest.raises(ConfigurationError, match=message):
        resolve({**settings, "n_train": n_train})
    resolve({**settings, "n_train": n_train - 1})
    with pytest.raises(ConfigurationError, match=r"n_test 31 for variant 'paper'.*an even number up to 512"):
        resolve({"variant": "paper", "n_train": 500, "n_valid": 128, "n_test": 31})


def test_variant_paper_chooses_from_the_papers_files_with_the_run_seed():
    """The authors' recipe: seed numpy, choose n/2 of the images of class 0, then of class 1; class 1 comes first."""
    sizes = {"train": 20, "valid": 8, "test": 8}
    options = SyntheticOptions(variant="paper", **{f"n_{part}": n for part, n in sizes.items()})
    splits = Synthetic(options, 1.0, data_seed=1234).splits()
    for (part, n), file_seed in zip(sizes.items(), (1, 2, 3), strict=True):
        masks, labels = crosses(512, file_seed, "hard")
        legacy = np.random.RandomState(1234)
        zeros = legacy.choice(np.flatnonzero(labels == 0), n // 2, replace=False)
        ones = legacy.choice(np.flatnonzero(labels == 1), n // 2, replace=False)
        chosen = [*ones, *zeros]
        split = splits["train" if part == "train" else f"{part}_ood"]
        step = 1 if part == "train" else -1
        np.testing.assert_array_equal(split.masks[:, 0].numpy(), masks[chosen][:, :, ::step])
        np.testing.assert_array_equal(split.labels.numpy(), labels[chosen])
