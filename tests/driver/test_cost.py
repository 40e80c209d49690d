"""The estimate of a sweep's time: what an attribution says that it costs, against the passes that it makes."""

import pytest
import torch

from driver.plan.cost import estimated_seconds
from trainables import ATTRIBUTIONS, DATASETS, resolve
from trainables.datasets import load
from trainables.models.initialise import initialise

SIZES = {"n_train": 32, "n_valid": 16, "n_test": 16}


@pytest.mark.parametrize("name", sorted(ATTRIBUTIONS.builtin))
def test_an_attribution_costs_about_the_passes_that_it_makes(name):
    settings = {"attributions": (name,), "attribution_passes": 30, "integrated_gradients_steps": 8}
    config = resolve({"dataset": "synthetic", "method": "baseline", "model": "small_cnn", **settings})
    model = initialise("small_cnn", 1, 2, seed=0).eval()
    images = load(DATASETS["synthetic"], DATASETS["synthetic"].Options(**SIZES), 1.0, 0)["train"].images[:4]
    made = []
    # A backward pass costs about two forward passes.
    model.register_forward_hook(
        lambda model, inputs, output: made.append(len(inputs[0]) * (1 + 2 * output.logits.requires_grad))
    )
    attribution = ATTRIBUTIONS[name](config)
    attribution.maps(model, images, torch.tensor([0, 1, 0, 1]))
    assert sum(made) == pytest.approx(len(images) * attribution.passes(images), rel=0.35)


def test_the_estimate_grows_with_epochs_trials_and_maps_but_not_with_shared_trainings():
    base = resolve(
        {"dataset": "synthetic", "method": "baseline", "attributions": ("input_gradient",), "epochs": 1, **SIZES}
    )
    one = estimated_seconds([base])
    assert estimated_seconds([base, base.model_copy(update={"seed": 1})]) == pytest.approx(2 * one)
    for more in ({"epochs": 1000}, {"attributions": ("integrated_gradients",), "integrated_gradients_steps": 200}):
        assert estimated_seconds([base.model_copy(update=more)]) > 2 * one
    long = base.model_copy(update={"epochs": 1000})
    shared = long.model_copy(update={"selection": "last"})
    assert estimated_seconds([long, shared]) < 1.5 * estimated_seconds([long])
