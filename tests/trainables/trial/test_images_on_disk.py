"""A trial has the same numbers whether its images are in memory or are read from disk part by part."""

import numpy as np
import pytest
import torch
from support import own_images

from trainables import resolve
from trainables.datasets import dataset as datasets
from trainables.datasets.mapped import Mapped
from trainables.trial.trial import Trial

SETTINGS = {"epochs": 1, "severity": 0.5, "attributions": ["gradient_shap"], "attribution_images": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "set"
    own_images.make_folder(folder)
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        *({"method": "rrr", "mask_condition": name} for name in ("random", "shifted", "other", "ones")),
        {"method": "rrr", "mask_dilation": 1, "mask_fraction": 0.5, "augment": "crop_flip"},
        {"method": "dfr"},
        {"method": "masked", "mask_test": True},
    ],
)
def test_numbers_are_the_same(settings, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
    strength = {"strength": 1.0} if settings["method"] == "rrr" else {}
    config = resolve({"dataset": f"folder:{folder}", **SETTINGS, **strength, **settings})
    found = {}
    for kind, most in ((Mapped, 0), (torch.Tensor, 2**40)):
        monkeypatch.setattr(datasets, "HELD_BYTES", most)
        datasets._CACHE.clear()
        trial = Trial(config)
        assert isinstance(trial.splits["train"].images, kind)
        trial.train_epoch()
        scores = trial.evaluate()
        found[kind] = scores, trial.localise(), trial.train_masks[:], trial.model.state_dict()
    datasets._CACHE.clear()
    (scores, localised, masks, weights), (*expected, expected_weights) = found[Mapped], found[torch.Tensor]
    np.testing.assert_equal(scores, expected[0])
    np.testing.assert_equal(localised.scores, expected[1].scores)
    np.testing.assert_equal(localised.arrays, expected[1].arrays)
    assert torch.equal(masks, expected[2])
    assert all(torch.equal(value, expected_weights[name]) for name, value in weights.items())
