"""Metrics against the stored answers of Quantus 0.6.0 (make_quantus_scores.py), and with ties scikit-learn."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from trainables.saliency.localisation import LOCALISATION

HERE = Path(__file__).parent
SCORES = json.loads((HERE / "quantus_scores.json").read_text())


def made() -> tuple[np.ndarray, np.ndarray]:
    spec = importlib.util.spec_from_file_location("make_quantus_scores", HERE / "make_quantus_scores.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.maps_and_masks()


@pytest.mark.parametrize("name", sorted(set(SCORES) - {"quantus"}))
def test_quantus(name):
    maps, masks = (torch.from_numpy(part) for part in made())
    assert SCORES["quantus"] == "0.6.0"
    # 1 % of 400 pixels are 4; all masks are larger.
    assert masks.flatten(1).sum(dim=1).min() >= 4
    np.testing.assert_allclose(LOCALISATION[name](maps, masks).numpy(), SCORES[name], rtol=1e-6)
    assert np.std(SCORES[name]) > 0.02


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize(("name", "other"), [("auroc", roc_auc_score), ("auprc", average_precision_score)])
def test_scikit_learn(name, other, levels):
    maps, masks = made()
    maps = np.round(maps * levels) / levels
    expected = [other(mask.ravel(), m.ravel()) for m, mask in zip(maps, masks, strict=True)]
    result = LOCALISATION[name](torch.from_numpy(maps), torch.from_numpy(masks))
    np.testing.assert_allclose(result.numpy(), expected)
