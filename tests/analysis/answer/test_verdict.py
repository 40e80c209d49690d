"""Yes, no or undecided, by where the interval lies."""

from dataclasses import replace

import pytest

from analysis.answer.entry import Correlation
from analysis.answer.verdict import decide
from analysis.trials.trials import Primary

WITHIN = Correlation(
    split="test_ood",
    metric="iou",
    attribution="integrated_gradients",
    outcome="test_ood.auc",
    scope="within_cell",
    statistic="spearman",
    stratum=None,
    dataset=None,
    severity=None,
    method=None,
    estimate=0.0,
    ci_low=0.0,
    ci_high=0.0,
    n=2400,
    n_clusters=40,
    n_missing=0,
    p_value=0.5,
    n_cells=60,
)


@pytest.mark.parametrize(
    ("low", "high", "answer", "words"),
    [
        (0.31, 0.5, "yes", "wholly above 0.3"),
        (-0.1, 0.29, "no", "wholly below 0.3"),
        (-0.5, 0.1, "no", "wholly below 0.3"),
        (-0.6, -0.4, "no", "the reverse"),
        (0.3, 0.5, "undecided", "including 0.3"),
        (0.1, 0.3, "undecided", "including 0.3"),
        (-0.6, 0.6, "undecided", "including 0.3"),
    ],
)
def test_the_interval_decides(low, high, answer, words):
    verdict = decide(replace(WITHIN, estimate=(low + high) / 2, ci_low=low, ci_high=high), Primary(), 0.3)
    assert verdict.answer == answer
    assert verdict.sentence.lower().startswith(answer)
    assert words in verdict.sentence
    assert (verdict.reason is not None) == (answer == "undecided")


def test_the_sentence_names_its_evidence():
    sentence = decide(replace(WITHIN, estimate=0.123, ci_low=-0.051, ci_high=0.25), Primary(), 0.3).sentence
    for piece in ("correlation 0.12", "95 % interval −0.05 to 0.25", "2,400 trials", "60 cells"):
        assert piece in sentence


def test_another_smallest_effect():
    assert decide(replace(WITHIN, estimate=0.2, ci_low=0.15, ci_high=0.25), Primary(), 0.1).answer == "yes"


def test_undefined_is_undecided_with_its_reason():
    undefined = replace(WITHIN, estimate=None, ci_low=None, ci_high=None, reason="all 60 cells are degenerate")
    verdict = decide(undefined, Primary(), 0.3)
    assert verdict.answer == "undecided"
    assert "all 60 cells are degenerate" in verdict.sentence
    absent = decide(None, Primary(), 0.3)
    assert absent.answer == "undecided"
    assert "test_ood.iou.integrated_gradients" in absent.sentence
