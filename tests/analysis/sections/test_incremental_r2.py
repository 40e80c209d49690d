"""Incremental R², against scikit-learn's definition worked with least squares split by split."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.sections.incremental_r2 import SECTION, _held_out, incremental_r2

X, Z, Y, A = "test_ood.iou.integrated_gradients", "test_ood.iop.occlusion", "test_ood.auc", "test_id.auc"


def table(rng=0, *, seeds=24, effect=0.5, datasets=("d",)):
    generator = np.random.default_rng(rng)
    rows = []
    for dataset in datasets:
        for severity in (0.5, 1.0):
            for position, method in enumerate(("baseline", "masked", "rrr")):
                for seed in range(seeds):
                    a, x, z, e = generator.normal(size=4)
                    rows.append(
                        {"dataset": dataset, "severity": severity, "method": method, "seed": seed, "data_seed": seed}
                        | {A: 0.9 + 0.02 * a, X: 0.3 + 0.1 * x, Z: z}
                        | {Y: 0.7 + 0.1 * ((3 - 4 * severity) * a + effect * x + e) - 0.2 * severity + 0.1 * position}
                    )
    return pd.DataFrame(rows)


def by_least_squares(data, columns, held_out):
    """R² on the held-out trials of one split, with a constant and an ID slope per cell."""
    cells = pd.get_dummies(data["severity"].astype(str) + data["method"]).astype(float).to_numpy()
    design = np.column_stack([cells, cells * data[[A]].to_numpy(), *(data[c] for c in columns)])
    out = data["data_seed"].isin(held_out).to_numpy()
    slope = np.linalg.lstsq(design[~out], data[Y].to_numpy()[~out], rcond=None)[0]
    y = data[Y].to_numpy()[out]
    return 1 - ((y - design[out] @ slope) ** 2).sum() / ((y - y.mean()) ** 2).sum()


@pytest.mark.parametrize("scores", [[X], [X, Z]])
def test_against_least_squares_split_by_split(scores):
    data = table()
    found = incremental_r2(data, scores, Y, splits=30, seed=3)
    drawn = [np.flatnonzero(row) for row in _held_out(np.zeros(24, dtype=int), 30, 3)]
    assert {len(d) for d in drawn} == {6}
    without = np.array([by_least_squares(data, [], d) for d in drawn])
    with_scores = np.array([by_least_squares(data, scores, d) for d in drawn])
    assert found.without == pytest.approx(without.mean())
    assert found.with_scores == pytest.approx(with_scores.mean())
    assert found.estimate == pytest.approx((with_scores - without).mean())
    for q, value in found.quantiles:
        assert value == pytest.approx(np.quantile(with_scores - without, q))
    assert found.share_positive == pytest.approx((with_scores > without).mean())


def test_a_useful_score_helps_and_noise_hurts():
    useful = incremental_r2(table(effect=2.0), [X], Y)
    assert useful.estimate > 0.2
    assert useful.share_positive == 1.0
    assert incremental_r2(table(effect=0.0, seeds=20), [X, Z], Y).estimate < 0


def test_a_score_that_follows_the_id_score_of_each_cell_adds_nothing():
    # One slope over both severities would leave the score something to add: the outcome's ID slope turns between them.
    data = table().assign(**{X: lambda t: (3 - 4 * t["severity"]) * t[A] + t["severity"]})
    assert incremental_r2(data, [X], Y).estimate == pytest.approx(0, abs=1e-9)


def test_strata_without_a_shift_and_small_cells_are_left_out_and_counted():
    data = table()
    data.loc[data["method"] == "rrr", "severity"] *= data["severity"] > 0.5
    data = data[(data["method"] != "masked") | (data["data_seed"] < 12)]
    found = incremental_r2(data, [X], Y)
    assert found.left_out == {"no shift (severity 0)": 1, "fewer than 20 trials": 2}
    used = (data["severity"] > 0) & (data["method"] != "masked")
    assert (found.n, found.n_cells) == (used.sum(), 3)
    assert found.estimate == incremental_r2(data[used], [X], Y).estimate


def test_data_seeds_are_held_out_whole_and_within_each_dataset():
    dataset = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2])
    chosen = _held_out(dataset, 50, 0)
    assert {tuple(row[dataset == d].sum() for d in (0, 1, 2)) for row in chosen} == {(1, 2, 0)}
    assert chosen[:, :12].sum(axis=0).min() > 0  # each data seed is held out at times


def test_a_data_seed_is_another_one_on_another_dataset():
    found = incremental_r2(table(datasets=("d", "e")), [X], Y)
    assert found.n_clusters == 48


def test_the_same_seed_gives_the_same_numbers():
    assert incremental_r2(table(), [X], Y, seed=1) == incremental_r2(table(), [X], Y, seed=1)
    assert incremental_r2(table(), [X], Y, seed=1) != incremental_r2(table(), [X], Y, seed=2)


@pytest.mark.parametrize(
    ("change", "scores", "reason"),
    [
        (lambda t: t.drop(columns=A), [X], f"no trial has the column '{A}'"),
        (lambda t: t, [], "no score to add"),
        (lambda t: pd.concat([t[t["data_seed"] < 3]] * 8), [X], "3 data seeds, fewer than 4"),
        (lambda t: t[t["data_seed"] < 9], [X], "no cell has a slope (6 cells: fewer than 20 trials)"),
        (lambda t: t.assign(**{Y: 0.5}), [X], "constant outcome"),
    ],
)
def test_what_is_undefined_says_why(change, scores, reason):
    found = incremental_r2(change(table()), scores, Y)
    assert (found.estimate, found.reason) == (None, reason)


def test_missing_values_are_dropped_and_counted():
    data = table()
    data.loc[0, X] = np.nan
    data.loc[1, Z] = np.nan
    assert incremental_r2(data, [X], Y).n_missing == 1
    assert incremental_r2(data, [X, Z], Y).n_missing == 2


@pytest.fixture(scope="module")
def estimated():
    return incremental_r2(table(), [X], Y, splits=20)


@pytest.mark.parametrize(
    ("without", "with_scores", "quantiles", "words"),
    [
        (
            *(0.637, 0.698, (-0.105, 0.124)),
            "accounts for 64\u00a0% of the variance of the outcome. The map score raises the share by 6.1 percentage "
            "points (−10.5 to 12.4 over splits).",
        ),
        (
            *(-0.3, 0.85, (0.9, 1.3)),
            "predicts the outcome worse than the mean (R² = −0.30). The map score raises R² by 1.15 (0.90 to 1.30 over "
            "splits).",
        ),
        (
            *(-0.3, -0.1, (-0.1, 0.4)),
            "The map score raises R² by 0.20 (−0.10 to 0.40 over splits); with it the model predicts worse than the "
            "mean.",
        ),
        (
            *(0.02, -0.01, (-0.1, 0.05)),
            "The map score does not raise the share: it changes by −3.0 percentage points (−10.0 to 5.0 over splits); "
            "with it the model predicts worse than the mean.",
        ),
        (*(0.0, 0.0, (0.0, 0.0)), "accounts for 0\u00a0% of the variance"),
    ],
)
def test_the_sentence(estimated, without, with_scores, quantiles, words):
    """R² below zero is no share of the variance; the gain never stands without its range."""
    ends = tuple(zip((0.025, 0.975), quantiles, strict=True))
    result = replace(
        estimated, without=without, with_scores=with_scores, estimate=with_scores - without, quantiles=ends
    )
    assert words in SECTION.sentence(None, (result,))


def test_the_caption_counts_what_was_used_and_left_out():
    data = table()
    data.loc[data["method"] == "rrr", "severity"] *= data["severity"] > 0.5
    data.loc[0, X] = np.nan
    (shown,) = SECTION.tables(None, (incremental_r2(data, [X], Y, splits=20),))
    assert shown.caption.endswith(
        " IoU of integrated gradients on the OOD test set: 119 trials in 5 cells with 24 data seeds in all; left out: "
        "1 cell: no shift (severity 0); 1 trial without one of the scores."
    )
