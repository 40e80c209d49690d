"""Foreign tables, through the command line: each gives a report, or an error that says how to fix it."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import analysis
from analysis.__main__ import app
from analysis.answer.correlations import within_cells
from analysis.stats.cluster_bootstrap import draw_resamples

SCORE = "test_ood.iou.integrated_gradients"
FEWEST = ["dataset", "severity", "method", "seed", "test_ood.auc", SCORE]


def fewest(rng=0, seeds=8, methods=("a", "b", "c")):
    generator = np.random.default_rng(rng)
    rows = [("d", s, m, seed) for s in (0.0, 1.0) for m in methods for seed in range(seeds)]
    table = pd.DataFrame(rows, columns=FEWEST[:4])
    return table.assign(**{"test_ood.auc": generator.random(len(rows)), SCORE: generator.random(len(rows))})


def run(path, folder):
    done = CliRunner().invoke(app, ["--records", str(path), "--out", str(folder), "--replicates", "100"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


REPORTS = {
    "the fewest columns": (lambda t: t, "No column 'data_seed': which trials share their images is unknown"),
    "one method": (lambda t: t[t["method"] == "a"], "fewer than 3"),
    "one trial": (lambda t: t.head(1), "fewer than 4"),
    "one severity, methods that are numbers": (
        lambda t: t[t["severity"] == 1.0].assign(method=t["method"].map({"a": 1, "b": 2, "c": 3})),
        '"method": "2"',
    ),
    "everything constant": (
        lambda t: t.assign(**{"test_ood.auc": 1.0, SCORE: 0.0}),
        "constant localisation and outcome",
    ),
    "no score at all": (lambda t: t.assign(**{SCORE: np.nan}), "fewer than 4"),
    "holes": (lambda t: t.where(np.random.default_rng(1).random(t.shape) > 0.1), "no method"),
    "infinities": (lambda t: t.assign(**{SCORE: t[SCORE].where(t["seed"] > 0, np.inf)}), '"n_missing": 6'),
    "words among the numbers": (
        lambda t: t.assign(**{SCORE: t[SCORE].astype(object).where(t["seed"] > 0, "n/a?")}),
        "Not a number in the column",
    ),
    "the same key twice": (lambda t: t.assign(trial_key=["k", "k", *range(46)]), '"duplicate trial": 1'),
    "names from everywhere": (
        lambda t: t.assign(dataset="données/<b>|%_&\\", method=t["method"].map(lambda m: f"{m}\u202e$\n'")),
        "données",
    ),
    "tiny and huge numbers": (
        lambda t: t.assign(severity=t["severity"] * 1e-6, **{SCORE: t[SCORE] * 1e-30, FEWEST[4]: t[FEWEST[4]] * 1e30}),
        '"severity": 1e-06',
    ),
}


DRAWN = ("one trial", "everything constant", "names from everywhere")
"""Kinds whose figures are drawn too, which takes longer than everything else."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", REPORTS)
def test_a_foreign_table_gives_a_report(tmp_path, kind, request):
    change, piece = REPORTS[kind]
    if kind not in DRAWN:
        request.getfixturevalue("no_figures")
    path = tmp_path / "mine.csv"
    change(fewest()).to_csv(path, index=False)
    done = run(path, tmp_path / "out")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out/report.json").read_text()
    content = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))
    assert piece in text
    assert done.stdout.splitlines()[-1] == content["verdict"]["sentence"]
    for entry in content["correlations"]:
        assert (entry["estimate"] is None) == (entry["reason"] is not None)
        assert (entry["interval"] is None) == (entry["ci_low"] is None)
    assert "<h2 id=" in (tmp_path / "out/report.html").read_text()


ERRORS = {
    "no outcome and no seed": (
        lambda t: t.drop(columns=["seed", "test_ood.auc"]),
        ["missing columns 'seed', 'test_ood.auc'", "it has dataset, severity"],
    ),
    "no localisation": (lambda t: t.drop(columns=SCORE), ["no localisation column", "<split>.<metric>.<attribution>"]),
    "no rows": (lambda t: t.head(0), ["no trials", "run the sweep"]),
    "words for severities": (
        lambda t: t.assign(severity="high"),
        ["no completed trial is left", "48 severity is not a number"],
    ),
    "all stopped early": (lambda t: t.assign(stopped_early=True), ["no completed trial is left (48 stopped early)"]),
    "all of a search": (
        lambda t: t.assign(**{"hp.searcher": "optuna"}),
        ["all 48 chosen by a search; trials that were chosen by earlier results"],
    ),
}


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_that_cannot_be_analysed_gives_one_line(tmp_path, kind, suffix):
    change, pieces = ERRORS[kind]
    path = tmp_path / f"mine.{suffix}"
    table = change(fewest())
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path, index=False)
    done = run(path, tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    for piece in pieces:
        assert piece in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_hundred_thousand_rows(tmp_path):
    # 35 cells of 2,857 trials, as many data seeds: they are resampled in groups, and all of them are counted.
    n = 100_000
    generator = np.random.default_rng(0)
    cell, seed = np.arange(n) % 35, np.arange(n) // 35
    shared = generator.normal(size=n)
    table = pd.DataFrame(
        {
            "dataset": "d",
            "severity": cell % 5 / 4,
            "method": np.char.add("m", (cell // 5).astype(str)),
            "seed": seed,
            "data_seed": seed,
            "test_ood.auc": shared + generator.normal(size=n),
            SCORE: shared + generator.normal(size=n),
        }
    )
    table.to_csv(tmp_path / "big.csv", index=False)
    trials = analysis.load_file(tmp_path / "big.csv")
    resamples = draw_resamples(trials.table, replicates=100, seed=0)
    result = within_cells(trials.table, SCORE, "test_ood.auc", resamples, seed=0)
    assert (result.n, result.n_clusters, result.n_cells) == (n, 2858, 35)
    assert result.estimate == pytest.approx(6 / np.pi * np.arcsin(0.5 / 2), abs=0.01)  # of the normal law with r = .5
    # Trials are independent here, so the jackknife must agree with Fisher’s standard error.
    assert result.standard_error == pytest.approx((1.06 / result.weight) ** 0.5, rel=0.15)
