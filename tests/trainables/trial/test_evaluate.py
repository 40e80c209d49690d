"""AUC against scikit-learn, accuracy and loss against numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from trainables.trial.evaluate import performance


def random_case(classes: int, ties: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(90, classes)) * 2
    labels = rng.integers(classes, size=90)
    logits[np.arange(90), labels] += 0.7
    return (np.round(logits) if ties else logits).astype(np.float32), labels


@pytest.mark.parametrize("ties", [False, True])
def test_two_classes_fixed_is_the_auc_of_the_difference(ties):
    logits, labels = random_case(2, ties)
    result = performance(torch.from_numpy(logits), torch.from_numpy(labels), "fixed")
    assert result["auc"] == pytest.approx(roc_auc_score(labels, logits[:, 1] - logits[:, 0]), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_three_classes_fixed_is_macro_one_against_rest(ties):
    logits, labels = random_case(3, ties=False)
    if ties:
        logits = logits[np.random.default_rng(1).integers(12, size=90)]
    log_p = logits.astype(np.float64) - logsumexp(logits.astype(np.float64), axis=1, keepdims=True)
    expected = roc_auc_score(np.eye(3)[labels], log_p, average="macro")
    result = performance(torch.from_numpy(logits), torch.from_numpy(labels), "fixed")
    assert result["auc"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_paper_ranks_by_each_classs_raw_logit(classes):
    logits, labels = random_case(classes, ties=False)
    expected = np.mean([roc_auc_score(labels == k, logits[:, k]) for k in range(classes)])
    paper, fixed = (
        performance(torch.from_numpy(logits), torch.from_numpy(labels), preset)["auc"] for preset in ("paper", "fixed")
    )
    assert paper == pytest.approx(expected, abs=1e-12)
    assert abs(paper - fixed) > 1e-3, "the presets differ"


def test_accuracy_and_loss():
    logits, labels = random_case(3, ties=False)
    result = performance(torch.from_numpy(logits), torch.from_numpy(labels), "fixed")
    assert result["accuracy"] == pytest.approx(np.mean(logits.argmax(axis=1) == labels), abs=1e-12)
    wide = logits.astype(np.float64)
    expected = np.mean(logsumexp(wide, axis=1) - wide[np.arange(90), labels])
    assert result["loss"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1, 10, 100])
def test_confident_scores_still_rank(scale):
    # From a difference of about 37 on, even a double-precision log-probability rounds to 0.
    logits = scale * torch.tensor([[0.0, 5.0], [0.0, 4.0], [0.0, 3.0], [1.0, 3.0]])
    labels = torch.tensor([1, 0, 1, 0])
    expected = roc_auc_score(labels.numpy(), (logits[:, 1] - logits[:, 0]).numpy())
    assert expected == 0.75
    assert performance(logits, labels, "fixed")["auc"] == expected
    three = torch.cat([logits, torch.full((4, 1), -1000.0)], dim=1)
    assert performance(three, labels, "fixed")["auc"] == expected


@pytest.mark.parametrize("preset", ["paper", "fixed"])
def test_a_single_class_has_no_auc(preset):
    result = performance(torch.randn(5, 2), torch.ones(5, dtype=torch.int64), preset)
    assert math.isnan(result["auc"])
    assert 0 <= result["accuracy"] <= 1
