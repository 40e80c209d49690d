"""The walk over layers: its activations are the model's, by the statistics of the clean batch; what it refuses."""

import copy

import pytest
import torch
from torch import nn

from trainables import resolve
from trainables.core.errors import ConfigurationError
from trainables.methods.cdep import decomposed_logits
from trainables.methods.ibp_ex import logit_interval
from trainables.models import MODELS, SmallCNN
from trainables.models.initialise import initialise

CARRIED = {
    "cdep": lambda model, batch: decomposed_logits(model, batch.images, ~batch.masks)._asdict(),
    "ibp_ex": lambda model, batch: logit_interval(model, batch.images, ~batch.masks, 1e-3)._asdict(),
}
ACTIVATIONS = {"cdep": lambda state: state["beta"] + state["gamma"], "ibp_ex": lambda state: state["values"]}


@pytest.fixture(params=sorted(MODELS))
def model(request):
    return initialise(request.param, 1, 2, seed=0).double().train()


@pytest.mark.parametrize("name", sorted(CARRIED))
def test_the_walk_gives_the_models_logits_and_running_statistics(model, make_batch, name):
    batch, plain = make_batch(side=8), copy.deepcopy(model)
    logits = plain(batch.images).logits
    result = ACTIVATIONS[name](CARRIED[name](model, batch))
    torch.testing.assert_close(result, logits, rtol=1e-9, atol=1e-9)
    for buffer, value in plain.named_buffers():
        torch.testing.assert_close(model.get_buffer(buffer), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(CARRIED))
def test_training_statistics_are_those_of_unaltered_images(model, make_batch, name):
    batch, fixed = make_batch(side=8), copy.deepcopy(model)
    hooks = []
    for layer in fixed.modules():
        if isinstance(layer, nn.BatchNorm2d):

            def keep(layer, inputs):
                layer.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
                layer.running_var.copy_(inputs[0].var(dim=(0, 2, 3), correction=0))

            hooks.append(layer.register_forward_pre_hook(keep))
            layer.momentum = 0.0
    with torch.no_grad():
        fixed(batch.images)
        for hook in hooks:
            hook.remove()
        expected, result = CARRIED[name](fixed.eval(), batch), CARRIED[name](model, batch)
    for part, value in expected.items():
        torch.testing.assert_close(result[part], value, rtol=1e-8, atol=1e-8)


class Pooled(SmallCNN):
    """A model with a layer that no rule is for."""

    def build_trunk(self, channels):
        return nn.Sequential(super().build_trunk(channels), nn.MaxPool2d(2))


class Reflecting(SmallCNN):
    """A model whose first layer pads otherwise."""

    def build_trunk(self, channels):
        return nn.Sequential(nn.Conv2d(channels, 64, 3, padding=1, padding_mode="reflect"))


class Peaks(SmallCNN):
    def __init__(self, channels, classes):
        super().__init__(channels, classes)
        self.pool = nn.AdaptiveMaxPool2d(1)


class Other(SmallCNN):
    """A model that reads its map otherwise."""

    def read(self, maps):
        return super().read(2 * maps)


@pytest.mark.parametrize("method", sorted(CARRIED))
@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Pooled, "layer trunk.1 is of type MaxPool2d"),
        (Reflecting, "layer trunk.0 has padding_mode 'reflect'"),
        (Peaks, "layer pool is of type AdaptiveMaxPool2d"),
        (Other, "it overrides read"),
    ],
)
def test_a_model_without_a_rule_is_refused_before_training(monkeypatch, method, model, problem):
    monkeypatch.setitem(MODELS.builtin, f"other {model.__name__}", model)
    refusal = (
        rf"method '{method}' cannot walk through model 'other {model.__name__}': {problem}; it has rules for Conv2d"
    )
    with pytest.raises(ConfigurationError, match=refusal):
        resolve({"method": method, "strength": 1.0, "model": f"other {model.__name__}"})
