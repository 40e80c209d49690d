"""What the figures promise: one look and place per method, the width of the page, and maps by their scored pixels."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import analysis
from analysis.sections import SECTIONS
from analysis.sections.drawing import (
    KNOWN,
    PAGE,
    in_order,
    look,
    new_figure,
    png,
    rows_of_strata,
    settings,
    strata_panels,
    svg,
)
from analysis.sections.head import trend
from analysis.sections.maps import usual_place
from analysis.sections.methods import SECTION as METHODS
from analysis.sections.strengths import SECTION as STRENGTHS


def drawn(result):
    """Every figure that these trials can have, by its name."""
    shown = [section for section in SECTIONS if not section.is_empty(result)]
    drawings = [d for section in shown for d in section.figures(result, result.results.get(section.key))]
    return {drawing.name: drawing for drawing in drawings if drawing is not None}


def test_the_look_of_a_method_does_not_depend_on_the_others():
    assert look(["rrr"])["rrr"] == look([*KNOWN, "cdep"])["rrr"]
    alone, among = look(["cdep"]), look([*KNOWN, "a_method", "cdep", "gain", "mine"])
    assert alone["cdep"] == among["cdep"]


def test_methods_are_ordered():
    methods = ["zero", "rrr", "Beta", "alpha", "baseline", "rrr"]
    assert in_order(methods) == list(look(methods)) == ["baseline", "rrr", "alpha", "Beta", "zero"]


def test_no_two_of_forty_methods_look_alike():
    looks = look([*KNOWN, *(f"m{i:02}" for i in range(33))])
    assert len(set(looks.values())) == 40


def test_no_panel_is_empty_if_datasets_differ_in_their_severities():
    figure = new_figure(4)
    strata = [("a", 0.5), ("b", 1.0), ("a", 0.0), ("b", 0.0), ("a", 0.8), ("a", 0.5)]
    panels = strata_panels(figure, rows_of_strata(strata), "IoU", sharex=True)
    assert list(panels) == [("a", 0.0), ("a", 0.5), ("a", 0.8), ("b", 0.0), ("b", 1.0)]
    assert figure.axes == list(panels.values())
    assert [place for place, axes in panels.items() if axes.get_xlabel()] == [("a", 0.8), ("b", 0.0), ("b", 1.0)]


def test_markers_of_close_severities_do_not_mix(make_table):
    table = make_table(seeds=4, severities=(0.0, 0.9, 0.95, 1.0), methods=KNOWN)
    result = analysis.analyse(table, replicates=100)
    (drawing, *_) = METHODS.figures(result, result.results["methods"])
    lines = [line.get_xdata() for line in drawing.figure.axes[0].lines if len(line.get_xdata()) == 4]
    places = np.array([places for places in lines if places[0] != 0])
    levels = places.T[1:]
    assert levels.shape == (3, 6)  # the middle one of seven stands at the severity itself
    within, between = np.diff(levels).max(), levels[1:].min(axis=1) - levels[:-1].max(axis=1)
    assert (between > 2 * within).all()


@pytest.fixture(scope="module")
def drawings(make_table):
    table = make_table(
        rho=0.7,
        seeds=12,
        severities=(0.0, 0.5, 1.0),
        strengths=(0.1, 1.0),
        datasets=("crosses", "digits"),
        columns=("test_ood.iou.integrated_gradients", "test_ood.iop.occlusion", "test_id.iou.occlusion"),
    )
    table["valid_id.auc"], table["valid_ood.auc"] = table["test_id.auc"], table["test_ood.auc"]
    table["test_ood.accuracy"], table["test_ood.n"] = table["test_ood.auc"], 100_000
    wrong = table.assign(**{"hp.mask_condition": "shifted", "trial_key": "wrong-" + table["trial_key"]})
    wrong["test_ood.auc"] -= 0.05
    table = pd.concat([table.assign(**{"hp.mask_condition": "expert"}), wrong], ignore_index=True)
    return drawn(analysis.analyse(table, replicates=100))


@pytest.fixture(scope="module")
def many_methods(make_table):
    methods = tuple(f"method with a name of its own {number}" for number in range(25))
    return drawn(analysis.analyse(make_table(seeds=6, severities=(0.9, 1.0), methods=methods), replicates=100))


@pytest.mark.slow
@pytest.mark.parametrize("trials", ["drawings", "many_methods"])
def test_every_figure_fills_the_page_and_no_text_leaves_it(trials, request):
    for name, drawing in request.getfixturevalue(trials).items():
        figure = drawing.figure
        with settings():
            FigureCanvasAgg(figure).draw()
        width, height = figure.bbox.width, figure.bbox.height
        assert figure.get_figwidth() >= PAGE, name
        # Tick labels outside an axis' range are never drawn.
        ticks = {t for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels()}
        for text in figure.findobj(Text):
            if text.get_visible() and text.get_text() and text not in ticks:
                box = text.get_window_extent()
                assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= -2, (name, text.get_text())


@pytest.mark.slow
def test_every_figure_has_an_alternative_text_with_numbers_and_is_saved(drawings):
    assert len(drawings) > 10
    for name, drawing in drawings.items():
        assert re.search(r"\d\.\d\d.*\.$", drawing.alt, re.DOTALL), name
        assert not re.search(r"\b(None|nan)\b", drawing.alt), name
        assert len(drawing.caption) > 40, name
        assert png(drawing).startswith(b"\x89PNG"), name
        assert svg(drawing).startswith(b"<?xml"), name


@pytest.mark.slow
def test_many_methods_have_a_row_each_and_no_legend_of_colours(many_methods):
    for figure in ("outcome_by_severity", "localisation_by_severity", "correlation_by_cell"):
        axes = many_methods[figure].figure.axes
        assert all(len(panel.get_yticks()) == 25 for panel in axes), figure
    for drawing in many_methods.values():
        for legend in drawing.figure.legends:
            assert len(legend.get_texts()) <= 6, drawing.name


@pytest.mark.slow
def test_many_methods_have_a_panel_each_by_strength(make_table):
    methods = tuple(f"m{number}" for number in range(9))
    table = make_table(seeds=4, severities=(0.5, 1.0), methods=methods, strengths=(0.1, 1.0, 10.0))
    result = analysis.analyse(table, replicates=100)
    (drawing,) = STRENGTHS.figures(result, result.results["strengths"])
    panels = [axes for axes in drawing.figure.axes if axes.lines]
    assert [axes.get_title(loc="left") for axes in panels] == list(methods)
    means = table[(table["severity"] == 1) & (table["method"] == "m3")].groupby("strength")["test_ood.auc"].mean()
    assert panels[3].lines[0].get_xydata() == pytest.approx(np.column_stack([means.index, means]))


def test_a_trend_is_the_least_squares_line():
    generator = np.random.default_rng(0)
    pairs = pd.DataFrame({"x": generator.normal(size=50), "y": generator.normal(size=50)})
    (left, right), (low, high) = trend(pairs)
    slope, intercept = np.polyfit(pairs["x"], pairs["y"], 1)
    assert (low, high) == pytest.approx((intercept + slope * left, intercept + slope * right))
    assert (left, right) == pytest.approx(tuple(np.quantile(pairs["x"], [0.025, 0.975])))
    assert trend(pairs.head(3)) is None
    assert trend(pairs.assign(x=1.0)) is None
    assert trend(pairs.assign(y=np.nan)) is None


def test_the_usual_place_of_a_region():
    share = np.array([[0.0, 0.2], [0.3, 0.6]])
    assert usual_place(share).tolist() == [[False, False], [True, True]]
    assert not usual_place(0.3 * share).any()
    assert not usual_place(0 * share).any()


def test_names_may_hold_dollars(make_table):
    """matplotlib would parse text between two of them as a formula."""
    name = r"cost $\alpha_{ 5$"
    table = make_table(seeds=4, severities=(1.0,), methods=("baseline", name), datasets=(name,), strengths=(0.2, 0.5))
    result = analysis.analyse(table, replicates=100)
    (drawing,) = STRENGTHS.figures(result, result.results["strengths"])
    assert png(drawing)
    top, bottom = drawing.figure.axes
    assert top.get_title(loc="left") == f"{name.replace('_', ' ')}\ns = 1"
    assert [label.get_text() for label in bottom.get_xticklabels()] == ["0.2", "0.5"]


def test_strengths_have_ticks_at_powers_of_ten_and_datasets_a_title_over_the_first_panel(make_table):
    table = make_table(
        seeds=4,
        severities=(0.5, 1.0),
        methods=("rrr",),
        datasets=("crosses", "digits"),
        strengths=(0.1, 0.464159, 10.0),
    )
    result = analysis.analyse(table, replicates=100)
    (drawing,) = STRENGTHS.figures(result, result.results["strengths"])
    titles = [axes.get_title(loc="left") for axes in drawing.figure.axes[:4]]
    assert titles == ["crosses\ns = 0.5", "s = 1", "digits\ns = 0.5", "s = 1"]
    with settings():
        FigureCanvasAgg(drawing.figure).draw()
    labels = [label.get_text() for label in drawing.figure.axes[4].get_xticklabels()]
    assert [label for label in labels if 0.1 <= float(label) <= 10] == ["0.1", "1", "10"]
    (written,) = STRENGTHS.tables(result, result.results["strengths"])
    assert {row[3] for row in written.entries} == {(0.1, "0.1"), (0.464159, "0.46"), (10.0, "10")}


@pytest.mark.parametrize("lowest", [-0.2, 0.1])
def test_scores_below_zero_are_not_cut_off(make_table, lowest):
    score = "test_ood.iou_corrected.integrated_gradients"
    table = make_table(seeds=4, severities=(0.5, 1.0), columns=(score,), strengths=(0.1, 1.0))
    table[score] += lowest - table[score].min()
    result = analysis.analyse(table, replicates=100)
    (_, by_severity) = METHODS.figures(result, result.results["methods"])
    (by_strength,) = STRENGTHS.figures(result, result.results["strengths"])
    for axes in (by_severity.figure.axes[0], *by_strength.figure.axes[2:]):
        drawn = [y for line in axes.lines for y in np.asarray(line.get_ydata(), dtype=float)]
        assert axes.get_ylim()[0] == 0 if lowest > 0 else axes.get_ylim()[0] < min(drawn) < 0
