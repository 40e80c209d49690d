"""Incremental R², against scikit-learn's definition worked with least squares split by split."""

import numpy as np
import pandas as pd
import pytest

from analysis.sections.incremental_r2 import _held_out, incremental_r2

X, Z, Y, A = "test_ood.iou.integrated_gradients", "test_ood.iop.occlusion", "test_ood.auc", "test_id.auc"
CONTROLS = {"numeric": [A], "categorical": ["severity", "method"]}


def table(rng=0, *, seeds=8, effect=0.5, datasets=("d",)):
    generator = np.random.default_rng(rng)
    rows = []
    for dataset in datasets:
        for severity in (0.0, 1.0):
            for position, method in enumerate(("baseline", "masked", "rrr")):
                for seed in range(seeds):
                    a, x, z, e = generator.normal(size=4)
                    rows.append(
                        {"dataset": dataset, "severity": severity, "method": method, "seed": seed, "data_seed": seed}
                        | {A: 0.9 + 0.02 * a, X: 0.3 + 0.1 * x, Z: z}
                        | {Y: 0.7 + 0.1 * (a + effect * x + e) - 0.2 * severity + 0.1 * position}
                    )
    return pd.DataFrame(rows)


def by_least_squares(data, columns, held_out):
    """R² on the held-out trials of one split."""
    design = pd.get_dummies(data[["severity", "method"]].astype(str), drop_first=True).astype(float)
    design = np.column_stack([np.ones(len(data)), design, *(data[c] for c in columns)])
    out = data["data_seed"].isin(held_out).to_numpy()
    slope = np.linalg.lstsq(design[~out], data[Y].to_numpy()[~out], rcond=None)[0]
    y = data[Y].to_numpy()[out]
    return 1 - ((y - design[out] @ slope) ** 2).sum() / ((y - y.mean()) ** 2).sum()


@pytest.mark.parametrize("scores", [[X], [X, Z]])
def test_against_least_squares_split_by_split(scores):
    data = table()
    found = incremental_r2(data, scores, Y, **CONTROLS, splits=30, seed=3)
    drawn = [np.flatnonzero(row) for row in _held_out(np.zeros(8, dtype=int), 30, 3)]
    assert {len(d) for d in drawn} == {2}
    without = np.array([by_least_squares(data, [A], d) for d in drawn])
    with_scores = np.array([by_least_squares(data, [A, *scores], d) for d in drawn])
    assert found.without == pytest.approx(without.mean())
    assert found.with_scores == pytest.approx(with_scores.mean())
    assert found.estimate == pytest.approx((with_scores - without).mean())
    for q, value in found.quantiles:
        assert value == pytest.approx(np.quantile(with_scores - without, q))
    assert found.share_positive == pytest.approx((with_scores > without).mean())


def test_a_useful_score_helps_and_noise_hurts():
    useful = incremental_r2(table(effect=2.0), [X], Y, **CONTROLS)
    assert useful.estimate > 0.2
    assert useful.share_positive == 1.0
    assert incremental_r2(table(effect=0.0, seeds=6), [X, Z], Y, **CONTROLS).estimate < 0


def test_a_score_that_repeats_a_covariate_adds_nothing():
    data = table().assign(**{X: lambda t: 2 * t[A] + 1})
    assert incremental_r2(data, [X], Y, **CONTROLS).estimate == pytest.approx(0, abs=1e-9)


def test_data_seeds_are_held_out_whole_and_within_each_dataset():
    dataset = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2])
    chosen = _held_out(dataset, 50, 0)
    assert {tuple(row[dataset == d].sum() for d in (0, 1, 2)) for row in chosen} == {(1, 2, 0)}
    assert chosen[:, :12].sum(axis=0).min() > 0  # each data seed is held out at times


def test_a_data_seed_is_another_one_on_another_dataset():
    found = incremental_r2(table(datasets=("d", "e")), [X], Y, numeric=[A], categorical=["dataset"])
    assert found.n_clusters == 16


def test_the_same_seed_gives_the_same_numbers():
    assert incremental_r2(table(), [X], Y, seed=1) == incremental_r2(table(), [X], Y, seed=1)
    assert incremental_r2(table(), [X], Y, seed=1) != incremental_r2(table(), [X], Y, seed=2)


@pytest.mark.parametrize(
    ("change", "scores", "reason"),
    [
        (lambda t: t.drop(columns=A), [X], f"no trial has the column '{A}'"),
        (lambda t: t, [], "no score to add"),
        (lambda t: t[t["data_seed"] < 3], [X], "3 data seeds, fewer than 4"),
        (lambda t: t.assign(**{Y: 0.5}), [X], "constant outcome"),
    ],
)
def test_what_is_undefined_says_why(change, scores, reason):
    found = incremental_r2(change(table()), scores, Y, **CONTROLS)
    assert (found.estimate, found.reason) == (None, reason)


def test_missing_values_are_dropped_and_counted():
    data = table()
    data.loc[0, X] = np.nan
    data.loc[1, Z] = np.nan
    assert incremental_r2(data, [X], Y, **CONTROLS).n_missing == 1
    assert incremental_r2(data, [X, Z], Y, **CONTROLS).n_missing == 2
