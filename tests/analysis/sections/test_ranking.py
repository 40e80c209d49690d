"""Means of methods and strengths, and the ranking of methods, against pandas; the best in bold in every format."""

import csv
import io
from types import SimpleNamespace

import pandas as pd
import pytest

import analysis
from analysis.report.render import environment_for
from analysis.sections.methods import ranking
from analysis.sections.ranking import SECTION
from analysis.sections.strengths import SECTION as STRENGTHS
from analysis.sections.table import Table, decimals, intervals, to_csv, to_latex, words

OUTCOME, SCORE = "test_ood.auc", "test_ood.iou.integrated_gradients"


@pytest.fixture(scope="module")
def table(make_table):
    table = make_table(seeds=4, strengths=(0.1, 1.0), severities=(0.5, 1.0), datasets=("crosses", "digits"))
    hurt = {("crosses", "masked"): 0.3, ("digits", "rrr"): 0.2, ("digits", "baseline"): 0.1}
    for (dataset, method), loss in hurt.items():
        table.loc[(table["dataset"] == dataset) & (table["method"] == method), OUTCOME] -= loss
    table.loc[(table["method"] == "rrr") & (table["strength"] == 0.1), OUTCOME] += 0.2
    return table


@pytest.fixture(scope="module")
def result(table):
    return analysis.analyse(table, replicates=100)


def test_text_in_a_csv_is_no_formula_and_numbers_are_unchanged():
    columns = (words("name", "name"), decimals("value", "value"), intervals())
    hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a\rb", "a=b"]
    rows = [SimpleNamespace(name=name, value=-0.5, ci_low=-1.0, ci_high=-0.25) for name in hostile]
    expected = ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "' =1", "a b", "a=b"]
    lines = list(csv.reader(io.StringIO(to_csv(Table("t", "", "", columns, rows)), newline="")))
    assert [name for name, _, _ in lines[1:]] == expected
    assert {tuple(rest) for _, *rest in lines[1:]} == {("-0.5", "-1.0 -0.25")}


def test_methods_are_ranked_by_their_mean_at_the_largest_severity(result, table):
    rows = ranking(result.results["methods"])
    means = table[table["severity"] == 1].groupby(["dataset", "method"])[OUTCOME].mean().reset_index()
    expected = means.sort_values(["dataset", OUTCOME], ascending=[True, False])
    assert [(row.dataset, row.method) for row in rows] == list(
        expected[["dataset", "method"]].itertuples(index=False, name=None)
    )
    assert {row.severity for row in rows} == {1.0}
    assert [row.ood.mean for row in rows] == pytest.approx(expected[OUTCOME].tolist())


def test_the_best_strength_is_that_of_the_best_mean(result, table):
    (written,) = SECTION.tables(result, None)
    cells = table[(table["severity"] == 1)].groupby(["dataset", "method", "strength"])[OUTCOME].agg(["mean", "std"])
    for row in written.rows:
        values = {column.field: column.value(row) for column in written.columns}
        means = cells.loc[(row.dataset, row.method)]
        assert values["best_strength"] == means["mean"].idxmax()
        best = [values[f"{OUTCOME}.best_strength"], values[f"{OUTCOME}.best_strength.sd"]]
        assert best == pytest.approx(list(means.loc[values["best_strength"]]))


def test_the_best_of_each_dataset_is_bold_in_every_format(result):
    (written,) = SECTION.tables(result, None)
    texts = written.texts
    for column in (3, 5, 8):
        for dataset in ("crosses", "digits"):
            means = {i: float(row[column]) for i, row in enumerate(texts) if row[0] == dataset}
            best = {i for i, mean in means.items() if mean == max(means.values())}
            assert {i for i in means if written.is_bold(i, column)} == best
    first = texts[0][3]
    assert rf"\textbf{{{first}}}" in to_latex(written)
    assert "**" not in to_csv(written)
    macros = [environment_for(f"macros.{kind}.j2").get_template(f"macros.{kind}.j2") for kind in ("html", "md")]
    html, markdown = (str(macro.module.grid(written)) for macro in macros)
    assert f"<b>{first}</b>" in html
    assert f"| **{first}** |" in markdown
    assert html.count("<b>") == markdown.count("**") / 2 == len(written.bold)


def test_the_figure_shows_both_scores_of_each_method_best_first(result, table):
    """A dot and a ring a row, at the strength that is best under the shift."""
    (drawing,) = SECTION.figures(result, None)
    (axes,) = drawing.figure.axes
    means = table[table["severity"] == 1].groupby(["dataset", "method", "strength"])[[OUTCOME, SCORE]].mean()
    best = means.sort_values(OUTCOME, ascending=False).groupby(["dataset", "method"], sort=False).head(1)
    best = best.sort_index(level="dataset", kind="stable", sort_remaining=False)
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert points[::2] == pytest.approx(best[OUTCOME].tolist())
    assert points[1::2] == pytest.approx(best[SCORE].tolist())


def test_each_strength_of_a_cell_with_several(make_table):
    table = make_table(seeds=6, strengths=(0.0, 0.1, 1.0))
    table = table[table["method"].isin(["actdiff", "rrr"]) | (table["strength"] == 0.0)].reset_index(drop=True)
    # Another learning rate for two data seeds of one cell.
    twice = table[table["strength"] == 0.1].head(2).assign(trial_key=["again-1", "again-2"], **{"hp.lr": 0.01})
    table = pd.concat([table.assign(**{"hp.lr": 0.001}), twice.assign(**{OUTCOME: twice[OUTCOME] + 0.1})])
    result = analysis.analyse(table, replicates=100)
    weighed = table[table["method"].isin(["actdiff", "rrr"])].groupby(["dataset", "severity", "method", "strength"])
    strengths = result.results["strengths"]
    assert [(r.dataset, r.severity, r.method, r.strength) for r in strengths] == list(weighed.groups)
    for row, (_, part) in zip(strengths, weighed, strict=True):
        assert row.n == len(part)
        assert (row.ood.mean, row.ood.sd) == pytest.approx((part[OUTCOME].mean(), part[OUTCOME].std()), abs=1e-12)
        assert row.localisation.mean == pytest.approx(part[SCORE].mean(), abs=1e-12)
    assert STRENGTHS.is_empty(analysis.analyse(make_table(seeds=6), replicates=100))
