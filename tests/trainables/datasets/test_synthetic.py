"""The crosses against the published files' checksums, and the cue and masks against the recipe's words."""

import hashlib

import numpy as np
import pytest
import torch

from trainables import ConfigurationError, resolve
from trainables.datasets.synthetic import Synthetic, SyntheticOptions, blocks, crosses

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


@pytest.mark.parametrize("variant", ["hard", "easy"])
@pytest.mark.parametrize(("split", "file"), [("train", 1), ("valid_ood", 2), ("test_ood", 3)])
def test_splits_at_severity_one_are_the_published_files(variant, split, file):
    options = SyntheticOptions(variant=variant, n_train=512, n_valid=512, n_test=512)
    result = Synthetic(options, severity=1.0, data_seed=0).splits()[split]
    images, masks = result.images[:, 0].numpy(), result.masks[:, 0].numpy()
    if split != "train":
        # The paper flips image and mask of evaluation images left to right, which reverses the cue.
        images, masks = images[:, :, ::-1], masks[:, :, ::-1]
    assert set(np.unique(images)) == {0.0, 1.0}
    assert (checksum(images), checksum(masks)) == CHECKSUMS[variant, file]


def test_in_distribution_twin_of_a_published_file_has_the_block_on_the_other_side():
    options = SyntheticOptions(n_train=8, n_valid=8, n_test=512)
    splits = Synthetic(options, severity=1.0, data_seed=0).splits()
    crosses_only = splits["test_ood"].masks[:, 0].numpy()
    # In distribution class 0 has its block in the lower left: rows 23-24, columns 3-5; class 1 in columns 22-24.
    block = np.zeros((512, 28, 28), dtype=bool)
    block[:256, 23:25, 3:6] = True
    block[256:, 23:25, 22:25] = True
    np.testing.assert_array_equal(splits["test_id"].images[:, 0].numpy(), crosses_only | block)
    np.testing.assert_array_equal(splits["test_id"].distractors[:, 0].numpy(), block & ~crosses_only)
    np.testing.assert_array_equal(splits["test_ood"].distractors[:, 0].numpy(), block[:, :, ::-1] & ~crosses_only)


def test_cue_is_the_side_of_the_block():
    options = SyntheticOptions(n_train=200, n_valid=8, n_test=8)
    train = Synthetic(options, severity=0.5, data_seed=3).splits()["train"]
    left = train.images[:, 0, 23:25, 3:6].flatten(1).all(dim=1)
    right = train.images[:, 0, 23:25, 22:25].flatten(1).all(dim=1)
    assert (left | right).all()
    one_side = left ^ right
    assert one_side.float().mean() > 0.9
    assert torch.equal(right[one_side].long(), train.cues[one_side])


def test_data_seeds_draw_from_different_recipe_seeds():
    options = SyntheticOptions(n_train=32, n_valid=32, n_test=32)
    for data_seed, expected in ((0, (1, 2, 3)), (1, (4, 5, 6)), (7, (22, 23, 24))):
        splits = Synthetic(options, 0.5, data_seed).splits()
        for name, seed, step in zip(("train", "valid_id", "test_ood"), expected, (1, -1, -1), strict=True):
            masks, _ = crosses(32, seed, "hard")
            np.testing.assert_array_equal(splits[name].masks[:, 0].numpy(), masks[:, :, ::step])


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


@pytest.mark.parametrize("n", [513, 31])
def test_variant_paper_has_no_more_images_than_its_files(n):
    with pytest.raises(ConfigurationError, match=f"n_test {n} for variant 'paper'.*an even number up to 512"):
        resolve({"variant": "paper", "n_train": 500, "n_valid": 128, "n_test": n})
