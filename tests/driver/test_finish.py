"""The end of a sweep: its report, what the command prints, and what the sweep's run in MLflow shows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import analysis
from analysis.answer.answer import answer
from analysis.report.report import copy_report
from analysis.trials.exclusions import trials_from_table
from driver import StoppedError
from driver.plan.make_plan import make_plan
from driver.plan.plan import Plan, declare
from driver.upkeep import finish as finish_module
from driver.upkeep import summary
from driver.upkeep.finish import finish
from records import SweepRecords, columns, open_storage
from records.mirror import Experiment
from search_spaces import Primary, Space

IOU = "test_ood.iou.integrated_gradients"


def analysed(table, **options):
    return answer(trials_from_table(table, sweep="x", source="x", **options), replicates=100)


def small_table(**scores):
    """Two methods at two severities and two seeds; the outcome at the largest severity by method."""
    rows = [
        {"dataset": dataset, "severity": s, "method": method, "strength": 0.0, "seed": seed, "data_seed": seed}
        | {"test_ood.auc": values[seed] if s == 1 else 0.5, IOU: values[seed] / 2, "valid_id.auc": 0.9}
        for dataset in ("synthetic", "decoy_digits")
        for s in (0.5, 1.0)
        for method, values in scores.items()
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def result():
    return analysed(small_table(rrr=(0.1, 0.3), masked=(0.9, 0.9)))


@pytest.fixture(scope="module")
def table():
    """Two datasets, severities that differ between them, three methods, eight seeds."""
    rng = np.random.default_rng(1)
    rows = [
        {"dataset": dataset, "severity": severity, "method": method, "strength": 1.0, "seed": seed}
        | {"trial_key": f"{dataset}-{severity}-{method}-{seed}", "data_seed": seed + 20, "model": "small_cnn"}
        | {f"{split}.auc": rng.uniform(0.4, 0.9) for split in ("valid_id", "test_id", "test_ood")}
        | {IOU: rng.uniform(0, 0.5), "status": "completed"}
        for dataset, severities in (("crosses", (0.0, 1.0)), ("digits", (0.0, 0.5)))
        for severity in severities
        for method in ("actdiff", "baseline", "rrr")
        for seed in range(8)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def estimated(table):
    return analysed(table)


def test_the_table_of_methods_by_hand(result):
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(summary.methods_summary(result))
    title, rest, *shown = [line.rstrip() for line in captured.get().splitlines()]
    columns = "OOD test AUC and IoU of integrated gradients on the OOD test set"
    assert f"{title} {rest}" == f"{columns}, mean ± sd over seeds and settings"
    note = " ".join(shown[-3:])
    assert note.startswith("s is the severity of the shift: ")
    words = [line.split("  ") for line in shown[:-3] if line]
    assert [[word.strip() for word in row if word] for row in words] == [
        ["method", "synthetic, s = 1", "decoy digits, s = 1"],
        ["OOD AUC", "IoU", "OOD AUC", "IoU"],
        ["masked", *["0.90 ± 0.00", "0.45 ± 0.00"] * 2],
        # The standard deviation of 0.1 and 0.3 is 0.2 / √2.
        ["RRR", *["0.20 ± 0.14", "0.10 ± 0.07"] * 2],
    ]


def test_no_table_without_the_score():
    table = small_table(masked=(0.9, 0.8)).rename(columns={IOU: "test_ood.iop.occlusion"})
    assert summary.methods_summary(analysed(table, free_primary=False)) is None


@pytest.mark.parametrize(
    ("space", "dataset", "max_trials", "cut", "advice"),
    [
        ("smoke", None, 31, True, "repeat the command without --max-trials to run them"),
        ("smoke", None, 32, True, "repeat the command without --max-trials to run them"),
        ("smoke", None, 192, False, "python sweep.py --space laptop (with --dry-run it says how long that takes)"),
        ("smoke", None, 500, False, "python sweep.py --space laptop (with --dry-run it says how long that takes)"),
        ("smoke", "synthetic", None, False, "laptop --dataset synthetic (with --dry-run it says how long that takes)"),
        ("own_data", None, None, False, "a space of your own, python sweep.py --space NAME.py"),
    ],
)
def test_the_command_that_adds_trials(space, dataset, max_trials, cut, advice):
    plan = make_plan(space, dataset, {}, max_trials)
    assert plan.cut == cut
    assert summary.more(plan).endswith(advice)


def test_the_runs_numbers_are_those_of_the_report(estimated):
    numbers, answers = summary.numbers(estimated), summary.answers(estimated)
    comparisons = [c for c in estimated.comparisons if c.estimate is not None]
    assert {c.comparison for c in comparisons} >= {"seed", "given_id"}
    for c in comparisons:
        place = f"comparison/{c.comparison}"
        shown = [numbers[f"{place}/{name}"] for name in ("rho", "ci_low", "ci_high", "n_trials")]
        assert shown == [c.estimate, c.ci_low, c.ci_high, c.n_trials]
        assert answers[f"{place}/answer"] == c.answer
    absent = replace(estimated, comparisons=tuple(replace(c, estimate=None) for c in estimated.comparisons))
    assert not [name for name in summary.numbers(absent) if name.startswith("comparison/")]


def test_a_methods_mean_is_at_the_largest_severity_and_over_datasets(estimated, table):
    numbers = summary.numbers(estimated)
    largest = table[(table.severity == 1.0) | ((table.dataset == "digits") & (table.severity == 0.5))]
    for column, name in (("test_ood.auc", "mean/test_ood/auc"), (IOU, "mean/test_ood/iou/integrated_gradients")):
        expected = largest.groupby(["method", "dataset"])[column].mean().groupby("method").mean()
        shown = {key.rsplit("/", 1)[1]: value for key, value in numbers.items() if key.startswith(f"{name}/")}
        assert shown == pytest.approx(expected.to_dict())


def test_declarations_are_parameters_and_varying_settings_tags(tmp_path, table):
    space = Space("two", "for a test", (), Primary(), ("seed", "method"))
    records, plan = SweepRecords(open_storage(tmp_path), "two"), Plan(space, {})
    assert summary.declared(records) == {}
    declare(records, plan, "python sweep.py")
    declared = {"space": "two", "primary": f"{IOU} against test_ood.auc", "comparisons": "seed, method"}
    assert summary.declared(records) == declared
    assert summary.design(table.to_dict("records"), plan) == {
        **{"datasets": "crosses, digits", "methods": "actdiff, baseline, rrr", "severities": "0, 0.5, 1"},
        **{"seeds": "0 to 7", "data_seeds": "20 to 27", "planned_trials": len(table)},
    }


@pytest.mark.parametrize(
    ("numbers", "text"), [((), ""), ((3,), "3"), ((1, 0), "0 to 1"), ((5, 0, 1, 2, 9, 8), "0 to 2, 5, 8 to 9")]
)
def test_seeds_are_shown_as_ranges(numbers, text):
    assert summary.spans(numbers) == text


EXPERIMENT = Experiment("sqlite:///x", "1", "2")


@pytest.fixture
def records(tmp_path):
    return SweepRecords(open_storage(tmp_path), "done")


@pytest.fixture
def plan():
    return make_plan("smoke", None, {}, 2)


@pytest.fixture
def written(monkeypatch):
    """The folders that get a report of an invented analysis."""
    folders = []
    verdict = SimpleNamespace(answer="no", sentence="No.")
    monkeypatch.setattr(finish_module, "trials_of_sweep", lambda *_: None)
    for name in ("what_to_do", "correlated"):
        monkeypatch.setattr(finish_module, name, lambda *_: None)
    for name in ("methods_summary", "more"):
        monkeypatch.setattr(summary, name, lambda *_: None)
    for name in ("answers", "numbers"):
        monkeypatch.setattr(summary, name, lambda *_: {})
    monkeypatch.setattr(analysis, "analyse", lambda trials: SimpleNamespace(verdict=verdict))
    monkeypatch.setattr(analysis, "write_report", lambda result, folder: folders.append(folder))
    monkeypatch.setattr(finish_module, "copy_report", lambda *_: None)
    return folders


def end(records, plan, changed=True, experiment=None):
    loaded = records.load()
    return finish(records, plan, loaded=loaded, experiment=experiment, changed=changed, console=Console(quiet=True))


def test_an_existing_report_is_kept_unless_something_changed(written, records, plan):
    for page, changed in (False, False), (True, False), (True, True):
        if page:
            records.storage.write("done/report/report.html", b"")
        end(records, plan, changed)
    assert len(written) == 2


def test_a_report_that_cannot_be_written_is_an_error(written, records, plan, monkeypatch):
    records.storage.write("done/report/figures", b"in the way")

    def write_report(result, folder):
        (folder / "figures").mkdir(parents=True)
        (folder / "figures/one.png").write_bytes(b"")

    monkeypatch.setattr(analysis, "write_report", write_report)
    monkeypatch.setattr(finish_module, "copy_report", copy_report)
    with pytest.raises(StoppedError, match=r"^cannot write .*: File exists\. The records are kept; repeat the command"):
        end(records, plan)


def test_a_sweep_of_failed_trials_has_no_answer(records, plan, monkeypatch):
    mirrored = []
    monkeypatch.setattr(finish_module, "mirror_sweep", lambda *given, **named: mirrored.append((*given, named)))
    failed = {"status": "failed", "error": "ValueError: no", "schema_version": columns.SCHEMA_VERSION}
    for config in plan.trials.values():
        records.write({**config.columns(), **failed})
    for changed in (True, False):
        outcome = end(records, plan, changed, EXPERIMENT)
    assert outcome.answer.startswith("No answer: ")
    ((experiment, _, folder, facts),) = mirrored
    assert (experiment, folder, facts["tags"]["answer"], facts["done"]) == (EXPERIMENT, None, "none", True)
    assert facts["tags"][finish_module.NOTE] == outcome.answer
