"""DFR: the fit has the optimum's certificate, groups are equal, and the trunk is the baseline's."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from trainables.core.batch import Output
from trainables.core.errors import DivergedError
from trainables.datasets.dataset import Split
from trainables.methods.dfr import equal_groups, sparse_logistic
from trainables.models import Classifier
from trainables.trial.trial import Trial

SETTINGS = {"severity": 0.8, "n_train": 256, "n_valid": 128, "n_test": 128, "epochs": 3, "lr": 1e-2}


@pytest.mark.parametrize(("classes", "l1"), [(2, 0.02), (3, 0.02), (3, 0.002)])
def test_the_fit_meets_the_optimality_conditions_of_its_convex_problem(classes, l1):
    rng = np.random.default_rng(classes)
    features, labels = rng.normal(size=(60, 12)), np.arange(60) % classes
    features[:, 0] += labels
    weight, bias = sparse_logistic(features, labels, classes, l1)
    error = (softmax(features @ weight.T + bias, axis=1) - np.eye(classes)[labels]) / 60
    slope = error.T @ features
    zero = np.abs(weight) < 1e-9
    assert 0 < zero.sum() < weight.size
    np.testing.assert_allclose(slope[~zero], -l1 * np.sign(weight[~zero]), atol=1e-5)
    assert (np.abs(slope[zero]) <= l1 + 1e-5).all()
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-5)


def test_subsets_have_every_group_as_often_as_the_rarest():
    groups = np.array([0] * 50 + [3] * 7 + [1] * 9)
    drawn = [equal_groups(groups, rng) for rng in (np.random.default_rng(0), np.random.default_rng(1))]
    for index in drawn:
        assert len(set(index)) == len(index)
        np.testing.assert_array_equal(np.bincount(groups[index]), [7, 7, 0, 7])
    assert set(drawn[0]) != set(drawn[1])


class FlatNet(Classifier):
    """f = W x + b; the features are the pixels, in double precision."""

    def __init__(self):
        nn.Module.__init__(self)
        self.head = nn.Linear(9, 2).double()

    def forward(self, images):
        features = images.flatten(1)
        return Output(self.head(features), features)


def features_of(n: int, scale: np.ndarray, seed: int) -> Split:
    """n images of 9 pixels with standard deviations `scale`, equally many of each group."""
    rng = np.random.default_rng(seed)
    labels, cues = np.arange(n) % 2, np.arange(n) // 2 % 2
    pixels = (rng.normal(size=(n, 9)) + labels[:, None]) * scale
    nothing = torch.zeros(n, 1, 3, 3, dtype=torch.bool)
    images = torch.from_numpy(pixels.reshape(n, 1, 3, 3))
    labels, cues = torch.from_numpy(labels), torch.from_numpy(cues)
    return Split(images=images, labels=labels, masks=nothing, distractors=nothing, cues=cues)


@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_features_are_scaled_by_the_presets_images(new_method, preset):
    """The optimality conditions hold for features in units of that spread, and of no other."""
    splits = {"train": features_of(200, np.linspace(1, 4, 9), seed=0), "valid_id": features_of(80, np.ones(9), seed=1)}
    model, l1 = FlatNet(), 0.05
    new_method("dfr", preset=preset, dfr_subsets=1, dfr_l1=l1).end_training(model, splits)
    pixels = {name: split.images.flatten(1).numpy() for name, split in splits.items()}
    weight, bias = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    fitted, truth = pixels["valid_id"], np.eye(2)[splits["valid_id"].labels]
    error = (softmax(fitted @ weight.T + bias, axis=1) - truth) / len(fitted)
    slope = error.T @ fitted
    used = np.abs(weight) > 1e-9
    assert 0 < used.sum() < weight.size
    met = {}
    for name, values in pixels.items():
        slopes = slope / values.std(axis=0)
        met[name] = bool(np.allclose(slopes[used], -l1 * np.sign(weight[used]), atol=1e-4))
    assert met == {"train": preset == "paper", "valid_id": preset == "fixed"}


def trained(config):
    trial = Trial(config)
    while not trial.finished:
        trial.train_epoch()
    return trial


@pytest.mark.slow
def test_only_the_last_layer_differs_from_the_baselines(quick):
    plain, retrained = (trained(quick(method=method, **SETTINGS)) for method in ("baseline", "dfr"))
    for name, value in plain.model.state_dict().items():
        assert torch.equal(retrained.model.state_dict()[name], value) == (not name.startswith("head"))
    assert retrained.selected().epoch == 2


def test_features_that_are_not_finite_diverged(quick):
    trial = Trial(quick(method="dfr"))
    with torch.no_grad():
        trial.model.trunk[0].weight.fill_(torch.nan)
    seen = {name: trial.splits[name] for name in ("train", "valid_id", "valid_ood")}
    with pytest.raises(DivergedError, match="features are not finite"):
        trial.method.end_training(trial.model, seen)
