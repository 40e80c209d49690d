"""Controls of the training masks: what they show, which images keep them, and unchanged test splits."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from records import columns
from trainables import resolve
from trainables.core.config import MASK_CONTROLS, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.datasets import DATASETS, Split
from trainables.trial.data import CONDITIONS, inside_masks, training_masks
from trainables.trial.trial import Trial

WRONG = sorted(CONDITIONS)
SIDE = 28


def config(**settings) -> TrialConfig:
    return resolve({"method": "masked", "n_train": 120, "n_valid": 8, "n_test": 24, **settings})


@pytest.fixture(scope="module")
def split() -> Split:
    """Crosses, of which the first ten have no mask."""
    settings = config()
    dataset = DATASETS["synthetic"]
    train = dataset(dataset.Options(**settings.dataset_options), 1.0, 0).splits()["train"]
    masks = train.masks.clone()
    masks[:10] = False
    return replace(train, masks=masks)


def area(masks: torch.Tensor) -> torch.Tensor:
    return masks.flatten(1).sum(dim=1)


@pytest.mark.parametrize("condition", WRONG)
def test_wrong_masks_go_to_the_images_that_had_masks(split, condition):
    before = split.masks.clone()
    masks = training_masks(split, config(mask_condition=condition))
    assert masks.shape == split.masks.shape
    assert masks.dtype == torch.bool
    assert torch.equal(area(masks) > 0, area(split.masks) > 0)
    assert torch.equal(split.masks, before), "shared tensors stay as they are"
    changed = (masks != split.masks).flatten(1).any(dim=1)
    # Two images may show crosses at the same places.
    assert changed[10:].float().mean() > 0.98


@pytest.mark.parametrize("condition", ["random", "shifted"])
@pytest.mark.parametrize("dilation", [0, 2])
def test_random_and_shifted_masks_have_the_area_of_the_right_ones(split, condition, dilation):
    right = training_masks(split, config(mask_dilation=dilation))
    wrong = training_masks(split, config(mask_dilation=dilation, mask_condition=condition))
    assert torch.equal(area(wrong), area(right))


def test_shifted_masks_are_the_right_ones_rolled(split):
    right, wrong = split.masks[10:, 0].numpy(), training_masks(split, config(mask_condition="shifted"))[10:, 0].numpy()
    steps = range(SIDE // 4, SIDE - SIDE // 4 + 1)
    shifts = {
        i: [(r, c) for r in steps for c in steps if (np.roll(before, (r, c), axis=(0, 1)) == after).all()]
        for i, (before, after) in enumerate(zip(right, wrong, strict=True))
    }
    assert all(shifts.values())
    only = [places[0] for places in shifts.values() if len(places) == 1]
    assert len(set(only)) > 0.6 * len(only) > 60, "each by a shift of its own"


def test_condition_other_permutes_masks_without_fixed_points(split):
    size = len(split)
    marks = torch.zeros(size, 1, SIDE, SIDE, dtype=torch.bool)
    marks.view(size, -1)[torch.arange(10, size), torch.arange(10, size)] = True
    result = training_masks(replace(split, masks=marks), config(mask_condition="other")).view(size, -1)
    owners = result[10:].int().argmax(dim=1)
    assert sorted(owners.tolist()) == list(range(10, size))
    assert (owners != torch.arange(10, size)).all()


def test_masks_of_ones_make_the_masked_method_the_baseline(quick):
    def losses(**settings):
        trial = Trial(quick(**settings))
        return [trial.train_epoch() for _ in range(2)]

    assert losses(method="masked", mask_condition="ones") == losses(method="baseline")
    assert losses(method="masked", mask_condition="shifted") != losses(method="baseline")


@pytest.mark.parametrize("condition", ["random", "shifted", "other"])
def test_wrong_masks_depend_on_the_data_seed_alone(split, condition):
    first = training_masks(split, config(mask_condition=condition))
    again = config(mask_condition=condition, method="rrr", strength=2, seed=7, epochs=3)
    assert torch.equal(training_masks(split, again), first)
    assert not torch.equal(training_masks(split, config(mask_condition=condition, data_seed=1)), first)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.75])
def test_a_share_of_the_masks_is_kept_in_each_class(split, fraction):
    masks = training_masks(split, config(mask_fraction=fraction))
    has_mask, keeps = area(split.masks) > 0, area(masks) > 0
    for label in (0, 1):
        of_class = split.labels == label
        assert (keeps & of_class).sum() == round(fraction * (has_mask & of_class).sum().item())
    assert torch.equal(masks[keeps], split.masks[keeps])


def test_a_share_is_that_of_each_of_three_classes(split):
    labels = torch.arange(len(split)) % 7 // 3  # in the proportions 3 : 3 : 1
    kept = area(training_masks(replace(split, labels=labels), config(mask_fraction=0.5))) > 0
    for label in (0, 1, 2):
        masked = area(split.masks[labels == label]) > 0
        assert kept[labels == label].sum() == round(0.5 * masked.sum().item())


def test_a_larger_share_only_adds_masks(split):
    kept = [area(training_masks(split, config(mask_fraction=f))) > 0 for f in (0.2, 0.4, 0.9, 1.0)]
    for fewer, more in pairwise(kept):
        assert (more | ~fewer).all()
    assert torch.equal(kept[-1], area(split.masks) > 0)


def test_masks_at_test_time_remove_the_cue(quick):
    trial = Trial(quick(mask_test=True, severity=1.0))
    plain = Trial(quick(severity=1.0))
    for name in columns.SPLITS:
        images, masks = trial.splits[name].images, trial.splits[name].masks
        assert torch.equal(images, plain.splits[name].images * masks)
        assert torch.equal(masks, plain.splits[name].masks)
    assert torch.equal(trial.splits["test_id"].images, trial.splits["test_ood"].images)
    assert not torch.equal(plain.splits["test_id"].images, plain.splits["test_ood"].images)


@pytest.mark.parametrize(("policy", "stays"), [("skip", True), ("inside", True), ("outside", False)])
def test_images_without_a_mask_at_test_time(split, policy, stays):
    images = inside_masks(split, config(mask_test=True, mask_dilation=1, empty_mask=policy)).images
    assert torch.equal(images[:10], split.images[:10] if stays else torch.zeros_like(split.images[:10]))
    grown = training_masks(split, config(mask_dilation=1))
    assert torch.equal(images[10:], split.images[10:] * grown[10:])


def test_condition_other_needs_two_masks(split):
    masks = torch.zeros_like(split.masks)
    masks[3, 0, 5, 5] = True
    with pytest.raises(ConfigurationError, match="needs two training images with a mask, and there are 1; choose"):
        training_masks(replace(split, masks=masks), config(mask_condition="other"))


def test_defaults_are_those_of_records_without_the_columns():
    for column, default in columns.CONTROLS.items():
        field = TrialConfig.model_fields[column.removeprefix(columns.HYPERPARAMETER_PREFIX)]
        assert field.default == default
    assert {columns.hyperparameter(name) for name in MASK_CONTROLS} == set(columns.CONTROLS)
