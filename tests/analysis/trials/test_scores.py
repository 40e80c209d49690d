"""A score for which lower is better gives the same answers as its complement."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.sections import SECTIONS
from analysis.sections.section import OTHER_WAYS
from analysis.trials.scores import higher_is_better, primary_higher_is_better
from records import columns

IOU, MASS, OFF = (f"test_ood.{metric}.occlusion" for metric in ("iou", "distractor_mass", "1-distractor_mass"))


def table(make_table, score: str, less_is_better: bool) -> pd.DataFrame:
    """Trials with all that the statistics need: a number of test images, halves and validation scores."""
    trials = make_table(rho=0.9, seeds=14, strengths=(0.1, 1.0, 10.0), columns=(score,), severities=(1.0,), step=0.01)
    rng = np.random.default_rng(3)
    # On a grid of 2^-20, where 1 − s is exact.
    trials[score] = (trials[score] * 2**20).round() / 2**20
    for which in (1, 2):
        trials[columns.half(score, which)] = trials[score] + rng.integers(-9, 9, len(trials)) / 2**12
        trials[columns.half("test_ood.auc", which)] = trials["test_ood.auc"] + rng.normal(0, 0.002, len(trials))
    trials["test_ood.accuracy"], trials["test_ood.n"] = trials["test_ood.auc"] * 2 - 0.6, 4000
    trials["test_id.auc"] = 0.9 + rng.normal(0, 0.01, len(trials))
    trials["valid_id.auc"], trials["valid_ood.auc"] = trials["test_id.auc"], trials["test_ood.auc"]
    if less_is_better:
        scores = [score, columns.half(score, 1), columns.half(score, 2)]
        trials[scores] = 1 - trials[scores]
    return trials


@pytest.fixture(scope="module")
def results(make_table):
    return {score: analysis.analyse(table(make_table, score, score == MASS), replicates=100) for score in (IOU, MASS)}


def plain(value) -> str:
    return json.dumps(value, sort_keys=True).replace(OFF, IOU).replace("1-distractor_mass", "iou")


def test_correlations_and_statistics_equal_those_of_the_complement(results):
    straight, turned = results[IOU], results[MASS]
    assert turned.primary.column == OFF
    assert plain([asdict(c) for c in turned.correlations]) == plain([asdict(c) for c in straight.correlations])
    for section in SECTIONS:
        if section.part == OTHER_WAYS:
            assert plain(section.json(turned)) == plain(section.json(straight)), section.key
    methods = [asdict(m) | {"chance": None} for m in straight.results["methods"]]
    assert plain([asdict(m) for m in turned.results["methods"]]) == plain(methods)
    assert turned.find("within_cell").estimate > 0.7
    assert turned.results["sign_error"].overall.mean is not None
    sentence = f"{straight.verdict.sentence} A better map is one that avoids the distractor better."
    assert turned.verdict == replace(straight.verdict, sentence=sentence)
    for before, after in zip(straight.comparisons, turned.comparisons, strict=True):
        assert plain(asdict(after)) == plain(asdict(before)).replace("0.1 of IoU", "0.1 of mass off the distractor")


def test_complements_by_hand():
    trials = pd.DataFrame(
        {
            **{MASS: [0.25, np.nan, 1.0], columns.half(MASS, 1): [0.5, 0.0, 1.0], IOU: [0.1, 0.2, 0.3]},
            **{"test_id.distractor_mass.rise": [0.0, 0.5, 1.0], "train.distractor_mass.rise": [1.0, 1.0, 1.0]},
            "distractor_mass": [1.0, 2.0, 3.0],
        }
    )
    before = trials.copy()
    turned, metrics = higher_is_better(trials)
    assert metrics == ["distractor_mass"]
    assert list(turned) == [
        *(OFF, columns.half(OFF, 1), IOU, "test_id.1-distractor_mass.rise", "train.distractor_mass.rise"),
        "distractor_mass",
    ]
    np.testing.assert_array_equal(turned[OFF], [0.75, np.nan, 0.0])
    np.testing.assert_array_equal(turned[columns.half(OFF, 1)], [0.5, 1.0, 0.0])
    assert turned[IOU].tolist() == [0.1, 0.2, 0.3]
    pd.testing.assert_frame_equal(trials, before)
    again, none = higher_is_better(turned)
    assert none == []
    pd.testing.assert_frame_equal(again, turned)


def test_the_primary_is_the_complement_of_the_declared_one():
    declared = analysis.Primary("test_id", "distractor_mass", "rise")
    assert primary_higher_is_better(declared) == analysis.Primary("test_id", "1-distractor_mass", "rise")
    assert primary_higher_is_better(analysis.Primary()) == analysis.Primary()
