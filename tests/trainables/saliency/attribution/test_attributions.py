"""Attribution maps against closed forms, brute force and quadrature, and what every one of them promises."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from trainables import resolve
from trainables.core.errors import ConfigurationError
from trainables.models import MODELS, SmallCNN
from trainables.models.initialise import initialise
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.attribution.perturbation import random_masks, superpixels, window_size

FEW = {"attribution_passes": 24}


def maps_of(name, model, images, targets, references=None, **settings):
    small = ATTRIBUTIONS[name].contract_settings
    attribution = ATTRIBUTIONS[name](resolve({**FEW, **small, **settings}), references)
    return attribution.maps(model.eval(), images, targets)


@pytest.fixture
def linear(linear_net):
    """A linear model of 3 classes on 2 x 6 x 6 images, its weights as images, inputs and targets."""
    model = linear_net(classes=3, pixels=72)
    images = torch.from_numpy(np.random.default_rng(4).normal(size=(4, 2, 6, 6)))
    targets = torch.tensor([0, 2, 1, 2])
    return model, model.head.weight.detach().view(3, 2, 6, 6)[targets], images, targets


GRADIENTS = ("input_gradient", "smooth_grad", "guided_backprop")


@pytest.mark.parametrize("name", [*GRADIENTS, "input_x_gradient", "integrated_gradients", "deep_lift"])
def test_a_linear_model_is_explained_by_its_weights_or_weight_times_pixel(name, linear):
    model, weight, images, targets = linear
    expected = weight if name in GRADIENTS else weight * images
    torch.testing.assert_close(maps_of(name, model, images, targets), expected.abs().sum(dim=1))


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


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (2, 28), (1, 7)])
def test_occlusion_against_a_loop(smooth_net, channels, side):
    """7 is not a multiple of the window: the last windows are cut off at the border. Some windows are empty."""
    assert (window_size(side), window_size(224)) == (2, 15), "15 at 224 in the paper"
    model = smooth_net(channels, 3).eval()
    images = torch.from_numpy(np.random.default_rng(1).normal(size=(2, channels, side, side)))
    images[0, :, 2:5] = 0
    targets = torch.tensor([2, 1])
    expected = torch.zeros(2, side, side, dtype=torch.float64)
    with torch.no_grad():
        for top in range(0, side, 2):
            for left in range(0, side, 2):
                occluded = images.clone()
                occluded[:, :, top : top + 2, left : left + 2] = 0
                fall = (model(images).logits - model(occluded).logits)[torch.arange(2), targets].abs()
                expected[:, top : top + 2, left : left + 2] = fall[:, None, None]
    torch.testing.assert_close(maps_of("occlusion", model, images, targets), expected)


def test_occlusion_of_an_empty_window_takes_no_pass(smooth_net):
    model, images = smooth_net(1, 2).eval(), torch.zeros(3, 1, 28, 28, dtype=torch.float64)
    images[1, 0, 5, 7] = 1
    images[2, 0, 8:12, 8:12] = -1
    passes = []
    model.register_forward_hook(lambda _model, inputs, _output: passes.append(len(inputs[0])))
    maps = maps_of("occlusion", model, images, torch.tensor([0, 1, 1]))
    assert sum(passes) == 3 + 1 + 4
    assert not maps[0].any()
    assert maps[1].nonzero().tolist() == [[4, 6], [4, 7], [5, 6], [5, 7]]


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
    shown = result.flatten(1).amax(dim=1) > 0
    assert shown.any() if ATTRIBUTIONS[name].may_be_zero else shown.all()
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
    explained = not torch.allclose(other, result)
    assert explained == ATTRIBUTIONS[name].sees_model, "the target's logit is explained"


@pytest.mark.parametrize("name", sorted(ATTRIBUTIONS))
def test_many_images_at_once(name, smooth_net):
    """More images than one internal pass holds."""
    model = smooth_net().float().eval()
    images = torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(300) % 2
    budget = {"integrated_gradients_steps": 4, "attribution_passes": 12}
    result = maps_of(name, model, images, targets, **budget)
    torch.testing.assert_close(result[290:], maps_of(name, model, images[290:], targets[290:], **budget))


@pytest.mark.parametrize("name", sorted(ATTRIBUTIONS))
def test_draws_are_declared_and_come_from_the_trials_seed(name, subject):
    model, images, targets = subject
    state = torch.random.get_rng_state()
    first, again, other = (maps_of(name, model, images, targets, seed=seed, references=images) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), state), "no global randomness"
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (not ATTRIBUTIONS[name].draws)


@pytest.mark.parametrize(("name", "passes"), [("smooth_grad", 60), ("gradient_shap", 60), ("rise", 20)])
def test_the_budget_bounds_the_passes(name, passes, smooth_net):
    model, seen = smooth_net().eval(), []
    model.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps_of(name, model, images, torch.tensor([0, 1, 1]), attribution_passes=passes)
    assert sum(seen) == 3 * 20


def test_gradient_shap_of_a_linear_model_is_the_mean_over_references(linear):
    model, weight, images, targets = linear
    torch.testing.assert_close(maps_of("gradient_shap", model, images, targets), (weight * images).abs().sum(dim=1))
    reference = torch.full((1, 2, 6, 6), 0.3, dtype=torch.float64)
    result = maps_of("gradient_shap", model, images, targets, references=reference)
    torch.testing.assert_close(result, (weight * (images - 0.3)).abs().sum(dim=1))
    two = torch.cat([reference, reference + 2])
    result = maps_of("gradient_shap", model, images, targets, references=two, attribution_passes=1500)
    torch.testing.assert_close(result, (weight * (images - 1.3)).abs().sum(dim=1), rtol=0.2, atol=0.5)


def test_deep_lift_is_complete(smooth_net):
    """Contributions add up to f(x) − f(0), here where none is negative."""
    images = torch.rand(3, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([1, 0, 1])
    model = smooth_net().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    rows = torch.arange(3)
    gained = model(images).logits[rows, targets] - model(torch.zeros_like(images)).logits[rows, targets]
    torch.testing.assert_close(maps_of("deep_lift", model, images, targets).sum(dim=(1, 2)), gained.detach())


def test_guided_backprop_stops_negative_gradients_at_each_relu(smooth_net):
    """One pixel, two hidden units with weights ±: unit 0 passes its gradient on, unit 1's is negative."""
    model = smooth_net().eval()
    model.trunk = torch.nn.Sequential(torch.nn.Conv2d(1, 5, 1, bias=False), torch.nn.ReLU()).double()
    model.head.bias.data.zero_()
    model.trunk[0].weight.data[:, 0, 0, 0] = torch.tensor([2.0, 3.0, -1.0, 0.0, 0.0])
    model.head.weight.data[1] = torch.tensor([5.0, -7.0, 11.0, 0.0, 0.0])
    image = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    assert maps_of("guided_backprop", model, image, torch.tensor([1])).item() == 10
    assert maps_of("input_gradient", model, image, torch.tensor([1])).item() == 11  # |2·5 − 3·7|


def test_grad_cam_by_its_equations(smooth_net):
    """The head is linear in the mean map, so that the weights are the head's over the map's area."""
    model = smooth_net(classes=3).eval()
    images = torch.rand(4, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        weighed = (model.head.weight[targets][:, :, None, None] * model.trunk(images)).sum(dim=1) / 36
    expected = weighed.clamp(min=0)
    assert (expected > 0).any()
    assert (expected == 0).any()
    torch.testing.assert_close(maps_of("grad_cam", model, images, targets), expected)


def test_layer_grad_cam_of_the_last_layer_is_grad_cam(smooth_net):
    model = smooth_net().eval()
    images = torch.rand(4, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 0, 1])
    last = maps_of("layer_grad_cam", model, images, targets, grad_cam_layer="trunk.3")
    torch.testing.assert_close(last, maps_of("grad_cam", model, images, targets))
    assert not torch.allclose(maps_of("layer_grad_cam", model, images, targets), last)


def test_listing_layers_of_a_pretrained_network_gives_no_warnings(monkeypatch):
    """On torch's meta device, loading weights warns of each tensor."""

    class Loaded(SmallCNN):
        def build_trunk(self, channels):
            trunk = super().build_trunk(channels)
            shapes = {name: value.shape for name, value in trunk.state_dict().items()}
            trunk.load_state_dict({name: torch.ones(shape, device="cpu") for name, shape in shapes.items()})
            return trunk

    monkeypatch.setitem(MODELS.builtin, "loaded", Loaded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve({"model": "loaded", "attributions": ("layer_grad_cam",)}).grad_cam_layer == "auto"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"attributions": ("layer_grad_cam",), "grad_cam_layer": "layer4"},
            r"unknown grad_cam_layer 'layer4' of model 'small_cnn'; choose from auto, trunk.0, trunk.1, .*trunk.8",
        ),
        ({"grad_cam_layer": "trunk.2"}, "grad_cam_layer 'trunk.2' without the attribution layer_grad_cam; add that"),
        ({"attribution_passes": 2}, "bad value 2 for attribution_passes"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        resolve(settings)


def test_rise_by_a_loop_over_its_masks(smooth_net):
    model = smooth_net(classes=3).eval()
    images = torch.rand(2, 1, 15, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    config = resolve({"attribution_passes": 40})
    attribution = ATTRIBUTIONS["rise"](config)
    masks = random_masks(40, 15, 9, attribution.rng())
    assert masks.shape == (40, 15, 9)
    assert masks.min() == 0
    assert masks.max() == 1
    assert masks.mean().item() == pytest.approx(0.5, abs=0.05)
    for i, target in ((0, 2), (1, 1)):
        with torch.no_grad():
            scores = [model(images[i : i + 1] * mask).logits[0, target].item() for mask in masks]
        expected = sum((s - np.mean(scores)) * mask.double() for s, mask in zip(scores, masks, strict=True)) / 10
        result = attribution.maps(model, images[i : i + 1], torch.tensor([target]))[0]
        torch.testing.assert_close(result, expected.abs())


def test_feature_ablation_against_a_loop(smooth_net):
    model = smooth_net(2, 3).eval()
    images = torch.rand(2, 2, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    segments = superpixels(images, 24)
    assert 10 < len(segments.unique()) < 80
    result = maps_of("feature_ablation", model, images, torch.tensor([2, 0]))
    for i, target in ((0, 2), (1, 0)):
        for number in segments[i].unique():
            inside = segments[i] == number
            with torch.no_grad():
                pair = torch.stack([images[i], images[i].masked_fill(inside, 0)])
                whole, without = model(pair).logits[:, target]
            torch.testing.assert_close(result[i][inside], (whole - without).abs().expand(int(inside.sum())))


def test_edges_are_sobels(smooth_net):
    images = torch.rand(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [
        sum(np.hypot(*(sobel(channel, axis=axis, mode="nearest") for axis in (0, 1))) for channel in image)
        for image in images.numpy()
    ]
    result = maps_of("edge_detector", smooth_net(), images, torch.tensor([0, 1]))
    np.testing.assert_allclose(result.numpy(), expected)


def test_the_gaussian_is_in_the_middle(smooth_net):
    result = maps_of("centre_gaussian", smooth_net(), torch.zeros(2, 1, 9, 13), torch.tensor([0, 1]))
    assert torch.equal(result[0], result[1])
    assert result[0, 4, 6] == 1 == result.max()
    assert result[0, 4, 6 + 3].item() == pytest.approx(math.exp(-0.5 * (3 / 3.25) ** 2))
    torch.testing.assert_close(result, result.flip(1, 2))
