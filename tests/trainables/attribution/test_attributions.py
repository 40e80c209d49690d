"""Attribution maps against closed forms, brute force and quadrature, and what every one of them promises."""

import numpy as np
import pytest
import torch

from trainables.attribution import ATTRIBUTIONS
from trainables.attribution.attribution import as_map
from trainables.attribution.occlusion import window_size
from trainables.config import TrialConfig
from trainables.localisation.blur import blur
from trainables.models.initialise import initialise


def maps_of(name, model, images, targets, **settings):
    return ATTRIBUTIONS[name](TrialConfig.parse(settings)).maps(model.eval(), images, targets)


@pytest.fixture
def linear(linear_net):
    """A linear model of 3 classes on 2 x 6 x 6 images, its weights as images, inputs and targets."""
    model = linear_net(classes=3, pixels=72)
    images = torch.from_numpy(np.random.default_rng(4).normal(size=(4, 2, 6, 6)))
    targets = torch.tensor([0, 2, 1, 2])
    return model, model.head.weight.detach().view(3, 2, 6, 6)[targets], images, targets


def test_input_gradient_of_a_linear_model(linear):
    model, weight, images, targets = linear
    result = maps_of("input_gradient", model, images, targets)
    torch.testing.assert_close(result, weight.abs().sum(dim=1))


def test_integrated_gradients_of_a_linear_model(linear):
    model, weight, images, targets = linear
    result = maps_of("integrated_gradients", model, images, targets)
    torch.testing.assert_close(result, (weight * images).abs().sum(dim=1))


def test_integrated_gradients_are_complete(linear_net):
    # With positive weights and pixels nothing is lost to the absolute value: the map sums to f(x) − f(0).
    weight = np.random.default_rng(0).random((2, 36))
    model, images = linear_net(weight), torch.rand(3, 1, 6, 6, dtype=torch.float64)
    targets = torch.tensor([1, 0, 1])
    result = maps_of("integrated_gradients", model, images, targets)
    rows = torch.arange(3)
    gained = model(images).logits[rows, targets] - model(torch.zeros_like(images)).logits[rows, targets]
    torch.testing.assert_close(result.sum(dim=(1, 2)), gained)


def test_integrated_gradients_of_a_smooth_model_against_a_riemann_sum(smooth_net):
    model = smooth_net(classes=3).eval()
    images = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 1, 6, 6)))
    targets = torch.tensor([2, 0])
    total, steps = torch.zeros_like(images), 2000
    for i in range(steps):
        inputs = (images * (i + 0.5) / steps).requires_grad_()
        (gradient,) = torch.autograd.grad(model(inputs).logits[torch.arange(2), targets].sum(), inputs)
        total += gradient / steps
    signed = images * total
    gained = (model(images).logits - model(torch.zeros_like(images)).logits)[torch.arange(2), targets]
    torch.testing.assert_close(signed.sum(dim=(1, 2, 3)), gained, rtol=1e-5, atol=1e-6)
    result = maps_of("integrated_gradients", model, images, targets, integrated_gradients_steps=50)
    torch.testing.assert_close(result, signed.abs().sum(dim=1), rtol=1e-5, atol=1e-6)


def test_integrated_gradients_steps_come_from_the_configuration(smooth_net):
    model = smooth_net().eval()
    images, targets = torch.randn(1, 1, 6, 6, dtype=torch.float64) * 5, torch.tensor([1])
    coarse, fine, finer = (
        maps_of("integrated_gradients", model, images, targets, integrated_gradients_steps=n) for n in (2, 60, 90)
    )
    assert (coarse - finer).abs().max() > 10 * (fine - finer).abs().max()


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (2, 28), (1, 7)])
def test_occlusion_against_a_loop(smooth_net, channels, side):
    """7 is not a multiple of the window: the last windows are cut off at the border."""
    model = smooth_net(channels, 3).eval()
    images = torch.from_numpy(np.random.default_rng(1).normal(size=(2, channels, side, side)))
    targets = torch.tensor([2, 1])
    expected = torch.zeros(2, side, side, dtype=torch.float64)
    with torch.no_grad():
        for top in range(0, side, 2):
            for left in range(0, side, 2):
                occluded = images.clone()
                occluded[:, :, top : top + 2, left : left + 2] = 0
                fall = (model(images).logits - model(occluded).logits)[torch.arange(2), targets].abs()
                expected[:, top : top + 2, left : left + 2] = fall[:, None, None]
    torch.testing.assert_close(maps_of("occlusion", model, images, targets), expected.float())


@pytest.mark.parametrize(("size", "window"), [(224, 15), (28, 2), (7, 2), (64, 4), (128, 9)])
def test_occlusion_window(size, window):
    assert window_size(size) == window


def test_smoothing_is_the_papers():
    assert {name: ATTRIBUTIONS[name].smoothing for name in ("input_gradient", "integrated_gradients", "occlusion")} == {
        "input_gradient": 1.0,
        "integrated_gradients": 1.0,
        "occlusion": 0.0,
    }


def test_absolute_values_are_summed_over_channels():
    assert as_map(torch.tensor([[[[1.0, -2.0]], [[-3.0, 0.5]]]])).tolist() == [[[4.0, 2.5]]]


@pytest.fixture(params=["smooth", "small_cnn"])
def subject(request, smooth_net):
    """A model with and one without batch normalisation, three-class, on images of two channels."""
    if request.param == "smooth":
        model = smooth_net(2, 3).float()
    else:
        model = initialise("small_cnn", 2, 3, seed=0)
        model.train()(torch.rand(8, 2, 12, 12))
    images = torch.rand(5, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    return model.eval(), images, torch.tensor([0, 1, 2, 1, 0])


def hooks(model) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.parametrize("name", sorted(ATTRIBUTIONS))
def test_contract(name, subject):
    model, images, targets = subject
    before = {key: value.clone() for key, value in model.state_dict().items()}
    original = images.clone()
    result = maps_of(name, model, images, targets)
    assert result.shape == (5, 12, 12)
    assert result.dtype == images.dtype
    assert result.isfinite().all()
    assert (result >= 0).all()
    assert (result.flatten(1).amax(dim=1) > 0).all()
    assert not result.requires_grad
    assert torch.equal(maps_of(name, model, images, targets), result), "deterministic"

    assert hooks(model) == 0
    assert not model.training
    assert torch.equal(images, original)
    assert not images.requires_grad
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.requires_grad and p.grad is None for p in model.parameters())

    for i in range(5):
        alone = maps_of(name, model, images[i : i + 1], targets[i : i + 1])[0]
        torch.testing.assert_close(alone, result[i], rtol=1e-4, atol=1e-6)
    other = maps_of(name, model, images, (targets + 1) % 3)
    assert not torch.allclose(other, result), "the target's logit is explained"


@pytest.mark.parametrize("name", sorted(ATTRIBUTIONS))
def test_a_dead_model_gives_a_zero_map(name, smooth_net):
    model = smooth_net()
    with torch.no_grad():
        model.head.weight.zero_()
    images = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    result = maps_of(name, model, images, torch.tensor([0, 1]))
    assert result.shape == (2, 8, 8)
    assert (blur(result, ATTRIBUTIONS[name].smoothing) == 0).all()


@pytest.mark.parametrize("name", sorted(ATTRIBUTIONS))
def test_many_images_at_once(name, smooth_net):
    """More images than one internal pass holds."""
    model = smooth_net().float().eval()
    images = torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(300) % 2
    result = maps_of(name, model, images, targets, integrated_gradients_steps=4)
    torch.testing.assert_close(
        result[290:], maps_of(name, model, images[290:], targets[290:], integrated_gradients_steps=4)
    )
