"""Every registered model, and the layers, sizes and parameter counts of each worked by hand."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18

from trainables.models import MODELS
from trainables.models.initialise import initialise


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize(("channels", "side", "classes"), [(1, 28, 2), (3, 32, 3), (1, 64, 2)])
def test_output_shapes_and_linear_head(name, channels, side, classes):
    model = initialise(name, channels, classes, seed=0).eval()
    with torch.no_grad():
        output = model(torch.rand(2, channels, side, side))
        head = output.features @ model.head.weight.T + model.head.bias
    assert output.logits.shape == (2, classes)
    assert output.features.shape == (2, model.feature_size)
    torch.testing.assert_close(output.logits, head)
    assert (output.features >= 0).all(), "pooled after a ReLU"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_activations_are_separate_modules_and_nothing_is_in_place(name):
    model = initialise(name, 1, 2, seed=0).eval()
    calls: dict[nn.Module, int] = {m: 0 for m in model.modules() if isinstance(m, nn.ReLU)}
    for module in calls:
        module.register_forward_hook(lambda m, *_: calls.__setitem__(m, calls[m] + 1))
    model(torch.rand(2, 1, 28, 28))
    assert calls
    assert set(calls.values()) == {1}, "a ReLU used twice cannot be hooked"
    assert not any(getattr(module, "inplace", False) for module in model.modules())
    assert not any("maxpool" in type(module).__name__.lower() for module in model.modules())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_weights_depend_on_the_seed_alone_and_leave_the_global_generator(name):
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    first = initialise(name, 1, 2, seed=4).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(5)
    second, other = initialise(name, 1, 2, seed=4).state_dict(), initialise(name, 1, 2, seed=5).state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not any(torch.equal(first[k], other[k]) for k in first if k.endswith("weight") and first[k].dim() > 1)


def test_resnet18_computes_what_torchvisions_blocks_compute():
    """torchvision's network with our stem and weights gives the same features."""
    ours = initialise("resnet18", 1, 2, seed=0).eval()
    theirs = torchvision_resnet18(weights=None, num_classes=2)
    theirs.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).logits, theirs.eval()(images))


def test_resnet18_initialisation():
    model = initialise("resnet18", 1, 2, seed=0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            # Kaiming, fan out, ReLU: variance 2 / (outputs x kernel area).
            expected = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.12)
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
