"""Augmentation: masks show where the object is, numbers come from the trial's streams, and the rest is as without."""

import pytest
import torch
from torch import Tensor

from trainables import TrialConfig, resolve
from trainables.core.config import Augment
from trainables.core.errors import ConfigurationError
from trainables.methods.parts.region import dilate
from trainables.trial.augment import augment
from trainables.trial.same_training import training_key
from trainables.trial.trial import Trial

NAMES = ("flip", "crop_flip", "affine", "color")
CROPS = ("crop_flip", "color")
FEW = {"n_train": 24, "n_valid": 8, "n_test": 8, "batch_size": 8, "attribution_images": 2}


def test_every_policy_is_tested():
    assert set(NAMES) == set(TrialConfig.model_fields["augment"].annotation.__args__) - {"none"} == set(OTHERS)


OTHERS: dict[Augment, tuple[float, float]] = {
    "flip": (1.0, 1.0),
    "crop_flip": (1.0, 1 / 0.7),
    "affine": (0.85**2, 1.15**2),
    "color": (1.0, 1 / 0.7),
}
"""Least and greatest change of an object's area that each policy may make."""


def discs(n: int, height: int, width: int) -> Tensor:
    """Masks [n, 1, height, width] of discs with a notch, off the centre: no symmetry hides a wrong flip or shift."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = (y - 0.45 * height) ** 2 + (x - 0.6 * width) ** 2 < (0.2 * min(height, width)) ** 2
    return (disc & ~((y > 0.45 * height) & (x > 0.6 * width))).expand(n, 1, height, width)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (64, 64), (48, 80)])
@pytest.mark.parametrize("name", NAMES)
def test_the_mask_is_where_its_colour_is(name, height, width):
    """The mask is drawn in red on blue, or white on grey if colours change; afterwards its pixels are the mask.

    Images are resized bilinearly and masks by the nearest pixel, so that pixels at the edge may differ, half of them
    either way.
    """
    masks = discs(60, height, width)
    images = torch.cat([masks.float(), torch.zeros_like(masks.float()), (~masks).float()], dim=1)
    changed, moved = augment(resolve({"augment": name}), images, masks, 0.0, epoch=0, number=0)
    assert changed.shape == images.shape
    assert moved.shape == masks.shape
    assert moved.dtype == torch.bool
    red = changed[:, :1] > changed[:, 2:]
    if name == "color":
        grey, _ = augment(resolve({"augment": name}), 0.25 + 0.5 * masks.float(), masks, 0.0, epoch=0, number=0)
        red = grey > (grey.amin(dim=(1, 2, 3), keepdim=True) + grey.amax(dim=(1, 2, 3), keepdim=True)) / 2
    inside, outside = ~dilate(~moved, 1), dilate(moved, 1)
    assert red[inside].all()
    assert not red[~outside].any()
    assert moved.flatten(1).any(dim=1).all()
    # At the edge, no more pixels on one side than on the other: the mask is not shifted.
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in (height, width))
    for axis, places in ((3, rows), (2, columns)):
        centre = [((m.sum(dim=axis) * places).sum(dim=2) / m.sum(dim=(2, 3)))[:, 0] for m in (red, moved)]
        assert (centre[0] - centre[1]).mean().abs() < 0.06, "pixels"
    area = moved.sum(dim=(2, 3)) / masks.sum(dim=(2, 3))
    low, high = OTHERS[name]
    # Parts of the disc may lie outside after a crop or a shift.
    assert area.max() < 1.1 * high
    assert area.median() > 0.9 * low
    if name == "flip":
        mirrored = (moved == masks.flip(3)).flatten(1).all(dim=1)
        assert ((moved == masks).flatten(1).all(dim=1) ^ mirrored).all()
        assert 15 <= mirrored.sum() <= 45
    else:
        # Few crops of 3:4 to 4:3 fit into a wide image; the others are the central one.
        assert len({tuple(m.flatten().tolist()) for m in moved}) > (50 if height == width else 20)


def test_what_an_affine_change_uncovers_is_black_and_outside():
    images, masks = torch.full((20, 1, 28, 28), 0.5), torch.ones(20, 1, 28, 28, dtype=torch.bool)
    changed, moved = augment(resolve({"augment": "affine"}), images, masks, -1024.0, epoch=0, number=0)
    assert (changed[~dilate(moved, 1)] == -1024).all()
    assert (~moved).any()
    # Half a pixel along the edge is blended with black; beside the frame its neighbours are not seen.
    inside = (~dilate(~moved, 1))[:, :, 1:-1, 1:-1]
    assert (changed[:, :, 1:-1, 1:-1][inside] - 0.5).abs().max() < 1e-3


def test_colour_changes_pixels_but_not_places():
    """The same draws as crop_flip come first, so that only colours differ."""
    masks = discs(20, 28, 28)
    images = torch.rand(20, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    (crop, of_crop), (color, of_color) = (
        augment(resolve({"augment": name}), images[:1], masks[:1], 0.0, epoch=0, number=0) for name in CROPS
    )
    assert torch.equal(of_crop, of_color)
    assert not torch.equal(crop, color)
    changed, _ = augment(resolve({"augment": "color"}), images, masks, 0.0, epoch=0, number=0)
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_draws_depend_on_seed_epoch_and_batch_alone(name):
    images, masks = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)), discs(8, 28, 28)

    def changed(seed: int = 0, epoch: int = 0, number: int = 0) -> Tensor:
        return augment(resolve({"augment": name, "seed": seed}), images, masks, 0.0, epoch, number)[0]

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = changed()
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is left as it was"
    torch.manual_seed(2)
    assert torch.equal(first, changed())
    for other in ({"seed": 1}, {"epoch": 1}, {"number": 1}):
        assert not torch.equal(first, changed(**other))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_batches_and_the_data_stay(quick, name):
    plain, changed = (Trial(quick(**FEW, augment=policy)) for policy in ("none", name))
    before = changed.splits["train"].images.clone()
    for with_, without in zip(changed.batches(), plain.batches(), strict=True):
        assert torch.equal(with_.labels, without.labels)
        assert torch.equal(with_.cues, without.cues)
        assert torch.equal(with_.rng.get_state(), without.rng.get_state())
        assert not torch.equal(with_.images, without.images)
        assert with_.images.shape == without.images.shape
        assert type(with_.images) is type(with_.masks) is Tensor
    assert torch.equal(changed.splits["train"].images, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_trial_is_the_same_bit_for_bit(quick, tmp_path, name):
    config = quick(**FEW, augment=name, epochs=3, method="gradmask", strength=0.3)
    first = Trial(config)
    first.train_epoch()
    torch.save(first.state_dict(), tmp_path / "checkpoint")
    while not first.finished:
        first.train_epoch()
    second = Trial(config)
    second.load_state_dict(torch.load(tmp_path / "checkpoint", weights_only=True))
    torch.manual_seed(3)
    while not second.finished:
        second.train_epoch()
    assert first.history == second.history
    assert first.evaluate() == second.evaluate()


def test_trials_that_differ_in_recipe_or_augmentation_do_not_share_a_training():
    plain, scored = resolve({}), resolve({"selection": "last"})
    assert training_key(plain) == training_key(scored)
    settings = [{"augment": "flip"}, {"weight_decay": 0.1}, {"optimizer": "sgd"}, {"clip_norm": 1.0}]
    settings += [{"schedule": "cosine"}, {"warmup": 1}, {"freeze": "trunk"}, {"head_lr": 0.1}]
    keys = {training_key(resolve(changed)) for changed in ({}, *settings)}
    assert len(keys) == 1 + len(settings)
    for changed in settings:
        assert training_key(resolve(changed)) == training_key(resolve({**changed, "selection": "last"}))


def test_colour_is_refused_for_other_pixel_values(monkeypatch):
    from trainables.datasets.synthetic import Synthetic

    monkeypatch.setattr(Synthetic, "limits", classmethod(lambda cls, options: (-1024.0, 1024.0)))
    assert resolve({"augment": "affine"}).augment == "affine"
    with pytest.raises(ConfigurationError) as caught:
        resolve({"augment": "color"})
    for piece in ("'color'", "'synthetic'", "[-1024, 1024]", "choose crop_flip"):
        assert piece in str(caught.value)
