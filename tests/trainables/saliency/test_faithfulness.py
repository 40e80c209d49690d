"""Faithfulness measures against captum, closed forms and what each promises."""

from dataclasses import replace

import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max as captum_sensitivity_max

from trainables import resolve
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.faithfulness import COPIES, FAITHFULNESS, REGIONS, Explained, random_noise, random_squares


@pytest.fixture
def explained(smooth_net):
    """Input gradients of four images of a smooth model."""
    model = smooth_net(1, 3).eval()
    images = torch.rand(4, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 1])
    attribution = ATTRIBUTIONS["input_gradient"](resolve({}))
    maps = attribution.maps(model, images, targets)
    return Explained(model=model, attribution=attribution, images=images, targets=targets, maps=maps, seed=5)


@pytest.mark.parametrize("name", sorted(FAITHFULNESS))
def test_contract(name, explained):
    score = FAITHFULNESS[name]
    result = score(explained)
    assert result.shape == (4,)
    assert result.isfinite().all()
    assert (result >= 0).all()
    torch.manual_seed(1)
    assert torch.equal(score(explained), result), "from streams of the seed alone"
    maps = explained.maps.clone()
    maps[1] = 0
    maps[2, 0, 0] = torch.nan
    assert score(replace(explained, maps=maps)).isnan().tolist() == [False, True, True, False]
    e = explained
    alone = replace(e, images=e.images[2:3], targets=e.targets[2:3], maps=e.maps[2:3])
    torch.testing.assert_close(score(alone), result[2:3], rtol=1e-6, atol=1e-12)
    if name != "sensitivity_max":
        torch.testing.assert_close(score(replace(e, maps=e.maps * 64)), result)


def test_deletion_and_insertion_by_hand(linear_net):
    """One pixel alone decides: it goes first or last of 28, and the probability is s before and 1/2 after."""
    weight = torch.zeros(2, 28, dtype=torch.float64)
    weight[1, 4] = 3
    model, images = linear_net(weight.numpy()), torch.ones(2, 1, 4, 7, dtype=torch.float64)
    maps = torch.zeros(2, 4, 7, dtype=torch.float64) + 0.1
    maps[0, 0, 4] = 1
    maps[1, 0, 4] = 0
    s = torch.sigmoid(torch.tensor(3.0, dtype=torch.float64)).item()
    attribution = ATTRIBUTIONS["input_gradient"](resolve({}))
    e = Explained(model=model, attribution=attribution, images=images, targets=torch.tensor([1, 1]), maps=maps, seed=0)
    # 28 steps of one pixel each: trapezoids with the change within the first, or the last, of them.
    early, late = (s + 0.5) / 2, (s + 0.5) / 2
    assert FAITHFULNESS["deletion"](e).tolist() == pytest.approx([(early + 27 * 0.5) / 28, (27 * s + late) / 28])
    assert FAITHFULNESS["insertion"](e).tolist() == pytest.approx([(early + 27 * s) / 28, (27 * 0.5 + late) / 28])


def test_infidelity_against_captum(explained):
    squares = random_squares(REGIONS, 9, 9, explained.rng("infidelity"))
    assert squares.flatten(1).sum(dim=1).unique().tolist() == [4, 9, 16]

    def without_square(images):
        inside = squares.repeat(len(images) // REGIONS, 1, 1)[:, None]
        return inside.double(), images * ~inside

    of_the_model = lambda x: explained.model(x).logits, without_square, explained.images, explained.maps[:, None]
    settings = {"target": explained.targets, "n_perturb_samples": REGIONS, "normalize": True}
    expected = captum_infidelity(*of_the_model, **settings)
    torch.testing.assert_close(FAITHFULNESS["infidelity"](explained), expected.detach())


def test_sensitivity_against_captum(explained):
    noise = random_noise(explained)
    assert noise.abs().max() <= 0.02

    def noisy(images):
        images = images[0] if isinstance(images, tuple) else images
        return images + noise.repeat(len(images) // COPIES, 1, 1, 1)

    def explain(images, target):
        images = images[0] if isinstance(images, tuple) else images
        return (explained.attribution.maps(explained.model, images.detach(), target),)

    settings = {"perturb_func": noisy, "n_perturb_samples": COPIES, "target": explained.targets}
    expected = captum_sensitivity_max(explain, explained.images, **settings)
    torch.testing.assert_close(FAITHFULNESS["sensitivity_max"](explained), expected)
