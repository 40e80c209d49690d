"""The AUROC of a map's score for a right answer against scipy, and the scores of single images behind it."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from records import columns
from trainables.trial.explain import correctness_auroc, scored_images
from trainables.trial.trial import Trial


@pytest.mark.parametrize("ties", [False, True])
def test_it_is_mann_whitneys_u(ties):
    rng = np.random.default_rng(0)
    scores, correct = rng.random(64).astype(np.float32), rng.random(64) < 0.7
    if ties:
        scores = scores.round(1)
    scores[:6] = np.nan
    right, wrong = (scores[6:][correct[6:] == answer] for answer in (True, False))
    expected = mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong))
    result = correctness_auroc(torch.from_numpy(scores), torch.from_numpy(correct))
    assert result == pytest.approx(expected, abs=1e-12)
    assert 0.2 < result < 0.8


@pytest.mark.parametrize(
    ("right", "wrong", "undefined", "defined"),
    [(20, 0, 0, False), (0, 20, 0, False), (20, 4, 0, False), (4, 20, 0, False), (5, 5, 0, True), (5, 5, 1, False)],
)
def test_it_needs_five_right_and_five_wrong_answers(right, wrong, undefined, defined):
    correct = torch.arange(right + wrong) < right
    scores = correct.float()
    scores[:undefined] = math.nan
    result = correctness_auroc(scores, correct)
    assert result == 1.0 if defined else math.isnan(result)


def test_a_trial_keeps_the_scores_of_its_images(quick):
    trial = Trial(quick(n_test=120, attribution_images=50, epochs=1, attributions=("input_gradient", "occlusion")))
    trial.train_epoch()
    with torch.no_grad():  # a threshold that half of the images pass, so that some answers are wrong
        weights = trial.selected().weights
        trial.model.load_state_dict(weights)
        logits = trial.model.eval()(trial.splits["test_id"].images[60:110]).logits
        weights["head.bias"][1] -= logits.diff(dim=1).median()
    localised = trial.localise()
    for name in columns.SCORED_SPLITS:
        split, arrays = trial.splits[name], localised.arrays
        index = arrays[f"{name}.scored.index"]
        np.testing.assert_array_equal(index, scored_images(split, 2, 50))
        np.testing.assert_array_equal(arrays[f"{name}.scored.labels"], split.labels.numpy()[index])
        with torch.no_grad():
            answers = trial.model(split.images[index]).logits.argmax(dim=1)
        correct = arrays[f"{name}.scored.correct"]
        np.testing.assert_array_equal(correct, (answers == split.labels[index]).numpy())
        np.testing.assert_array_equal(arrays[f"{name}.scored.predicted"], answers.numpy())
        for attribution in trial.config.attributions:
            for metric in trial.config.metrics:
                values = arrays[f"{name}.scored.{metric}.{attribution}"]
                assert values.shape == (50,)
                mean = localised.scores[columns.localisation(name, metric, attribution)]
                assert np.nanmean(values) == pytest.approx(mean, abs=1e-6)
            scores = arrays[f"{name}.scored.iou.{attribution}"].astype(np.float64)
            right, wrong = scores[correct & ~np.isnan(scores)], scores[~correct & ~np.isnan(scores)]
            column = f"{name}.correctness_auroc.iou.{attribution}"
            if name == "test_id":
                assert min(len(right), len(wrong)) >= 5
                expected = mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong))
                assert localised.scores[column] == pytest.approx(expected, abs=1e-12)
            assert column in localised.scores


def test_without_iou_there_is_no_correctness_column(quick):
    trial = Trial(quick(metrics=("iop",), epochs=1, attributions=("input_gradient",)))
    trial.train_epoch()
    localised = trial.localise()
    assert not [name for name in localised.scores if "correctness" in name]
    assert "test_id.scored.iop.input_gradient" in localised.arrays
