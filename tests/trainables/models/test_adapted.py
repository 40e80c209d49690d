"""Networks of other libraries: their outputs, maps and heads, and which methods and attributions work on them."""

import copy

import pytest
import timm
import torch
from support import own_images
from support.families import FAMILIES, SIDE, WALKING
from torch import nn
from torchvision.models import get_model

from trainables import ATTRIBUTIONS, METHODS, resolve, run_trial
from trainables.core.errors import ConfigurationError
from trainables.models import Inputs, build
from trainables.models.initialise import initialise
from trainables.models.weights import digest_of, load_weights
from trainables.trial.network import check_network

ON = {"dataset": "digits_on_photos", "image_size": SIDE}
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
families = pytest.mark.parametrize("name", FAMILIES)


def library_network(name: str, classes: int) -> nn.Module:
    library, _, network = name.partition(":")
    if library == "torchvision":
        return get_model(network, num_classes=classes)
    size = {"img_size": SIDE} if "_224" in network else {}
    return timm.create_model(network, num_classes=classes, **size)


def with_random_numbers(network: nn.Module) -> nn.Module:
    """Weights and running statistics that differ from their initial ones, so that each of them matters."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("weight", "bias", "mean", "var", "token", "embed", "gamma")):
                tensor.add_(0.01 * torch.rand(tensor.shape, generator=rng))
    return network.eval()


@pytest.mark.slow
@families
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_are_those_of_the_librarys_network_on_standardised_images(name, channels, tmp_path):
    theirs = with_random_numbers(library_network(name, classes=3))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    file, images = str(tmp_path / "weights.pth"), torch.rand(2, channels, SIDE, SIDE)
    ours = initialise(name, channels, 3, seed=0, side=SIDE, limits=(-1024.0, 1024.0)).eval()
    load_weights(ours, name, file, digest_of(name, file), keep_head=True)
    mean, deviation = (0.5, 0.5) if "vit" in name else (MEAN, DEVIATION)
    with torch.no_grad():
        expected = theirs((images.expand(-1, 3, -1, -1) - mean) / deviation)
        output = ours(2048 * images - 1024)
    torch.testing.assert_close(output.logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.logits, ours.head(output.features))


@pytest.mark.slow
@families
def test_the_head_and_the_last_map_are_found(name):
    family, model = FAMILIES[name], initialise(name, 3, 2, seed=0, side=SIDE).train()
    maps, output = model.with_map(torch.rand(2, 3, SIDE, SIDE))
    assert (model.head_path, model.head.out_features, model.finer_layer) == (family.head, 2, family.finer_layer)
    assert maps.shape == (2, *family.last_map)
    (gradient,) = torch.autograd.grad((output.features * torch.rand(model.feature_size)).sum(), maps)
    assert gradient.flatten(1).any(dim=1).all()
    assert not any(getattr(module, "inplace", False) for module in model.modules())


def test_the_map_of_a_transformer_is_what_the_last_block_reads():
    model = initialise("timm:vit_tiny_patch16_224", 1, 2, seed=0, side=32).eval()
    network, images = model.network, torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        tokens = network.norm_pre(network._pos_embed(network.patch_embed(images.expand(-1, 3, -1, -1) * 2 - 1)))
        for block in network.blocks[:-1]:
            tokens = block(tokens)
        maps, output = model.with_map(images)
        # The first token is the class's; patches are in the order of reading.
        torch.testing.assert_close(maps[:, :, 1, 0], tokens[:, 3])
        last = network.norm(network.blocks[-1](tokens))
    torch.testing.assert_close(output.features, last[:, 0])


def test_a_copy_does_not_share_its_map():
    model = initialise("timm:resnet10t", 1, 2, seed=0).eval()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.network.layer4.parameters():
            parameter.zero_()
    images = torch.rand(2, 1, 28, 28)
    assert model.with_map(images)[0].any()
    assert not torch.equal(model.with_map(images)[0], other.with_map(images)[0])


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(METHODS))
@families
def test_every_method_takes_a_step_or_is_refused_by_name(name, method):
    settings = {**ON, "model": name, "method": method, "strength": 0.1 * METHODS[method].has_penalty}
    second_order = METHODS[method].second_order or method == "right_for_better_reasons"
    if method in WALKING or (FAMILIES[name].no_second_derivative and second_order):
        with pytest.raises(ConfigurationError, match=rf"method '{method}' cannot .* model '{name}'.*choose another"):
            check_network(resolve(settings))
    else:
        check_network(resolve(settings))


@pytest.mark.slow
def test_a_trial_without_strength_does_not_stand_for_those_with_one():
    settings = {**ON, "model": "torchvision:mobilenet_v3_small", "method": "rrr"}
    check_network(resolve({**settings, "strength": 0.0}))
    with pytest.raises(ConfigurationError, match="method 'rrr' cannot train"):
        check_network(resolve({**settings, "strength": 1.0}))


@pytest.mark.slow
@pytest.mark.parametrize("attribution", sorted(ATTRIBUTIONS))
@families
def test_every_attribution_explains_or_is_refused_by_name(name, attribution):
    config = resolve({**ON, "model": name, "attributions": (attribution,), "attribution_passes": 6})
    if attribution in FAMILIES[name].unexplained:
        with pytest.raises(ConfigurationError, match=rf"attribution '{attribution}' cannot explain model '{name}'"):
            check_network(config)
        return
    check_network(config)
    model = initialise(name, 1, 2, seed=0, side=SIDE).eval()
    nn.init.normal_(model.head.weight)
    maps = ATTRIBUTIONS[attribution](config).maps(model, torch.rand(2, 1, SIDE, SIDE), torch.tensor([0, 1]))
    assert maps.shape == (2, SIDE, SIDE)
    assert (maps >= 0).all()
    assert maps.flatten(1).any(dim=1).all() or ATTRIBUTIONS[attribution].may_be_zero


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"])
def test_a_trial_is_repeatable_and_its_weights_give_its_model_back(name, tmp_path):
    own_images.make_folder(tmp_path, images=120, side=SIDE)
    sizes = {"n_train": 16, "n_valid": 8, "n_test": 8, "batch_size": 8, "epochs": 1, "attribution_images": 2}
    settings = {"dataset": f"folder:{tmp_path}", "image_size": SIDE, **sizes, "model": name}
    settings |= {"method": "rrr", "strength": 1.0, "randomisation_check": True}
    settings |= {"attributions": ("input_gradient", "grad_cam")}
    first, second = (run_trial(**settings) for _ in range(2))
    times = {"host", "started_at", *(column for column in first.record if "seconds" in column)}
    assert {k: v for k, v in first.record.items() if k not in times and v == v} == {
        k: v for k, v in second.record.items() if k not in times and v == v
    }
    assert first.score()["test_ood.auc"] == first.record["test_ood.auc"]


class Ending(nn.Module):
    """A network with a map and an end of choice."""

    def __init__(self, *end: nn.Module):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, padding=1)
        self.end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *end)

    def forward(self, images):
        return self.end(self.body(images))


class Tokens(nn.Module):
    """Neither a map nor patch tokens."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 2)

    def forward(self, images):
        return self.fc(images.flatten(1)[:, :8])


def good(classes):
    return Ending(nn.Linear(4, classes))


def no_linear_end(classes):
    return Ending(nn.Linear(4, classes), nn.Softmax(dim=1))


def other_classes(classes):
    return Ending(nn.Linear(4, classes + 1))


def no_map(classes):
    return Tokens()


def no_module(classes):
    return 3


def fails(classes):
    raise KeyError("checkpoint")


@pytest.mark.parametrize(
    ("function", "channels", "message"),
    [
        ("no_linear_end", 3, "its logits are not the output of one nn.Linear"),
        ("other_classes", 3, "returns 3 logits, and the data have 2 classes"),
        ("no_map", 3, "no layer with a map or with patch tokens"),
        ("no_module", 3, "returns 3; it must return an nn.Module"),
        ("fails", 3, "cannot be made for images of 28 x 28 pixels: KeyError"),
        ("good", 1, "does not take images of 1 x 28 x 28: RuntimeError: .*3 channels"),
    ],
)
def test_an_unsuitable_network_of_ones_own_is_refused(function, channels, message):
    with pytest.raises(ConfigurationError, match=rf"{function}' .*{message}"):
        build(f"{__name__}:{function}", Inputs(channels, 2, 28, (0.0, 1.0)))


def test_a_network_of_ones_own_sees_pixel_values_as_they_are():
    model = build(f"{__name__}:good", Inputs(3, 2, 28, (-1.0, 1.0)))
    images = torch.rand(2, 3, 28, 28) * 2 - 1
    torch.testing.assert_close(model(images).features, model.network.body(images).mean(dim=(2, 3)))
