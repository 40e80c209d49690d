"""The table of columns: what derives from it, and that a new column costs one line of it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from records import columns
from trainables import resolve
from trainables.saliency.localisation import LOCALISATION, traits_of

LINE = '    Column(COLLAPSED, "measure", "flag", "collapsed"),\n'
FIRST = (
    *("trial_key", "sweep", "status", "error", "dataset", "severity", "method", "strength", "model", "seed"),
    *("data_seed", "preset", "selection", "epochs", "best_epoch"),
)
IN_ORDER = (
    *(*FIRST, "hp.a", "hp.lr", "hp.searcher", "hp.z"),
    *("train.auc", "train.accuracy", "valid_id.auc", "test_ood.auc", "test_ood.accuracy", "test_ood.loss"),
    *("test_id.auc_outside_zeroed", "test_id.auc_outside_shuffled", "test_id.auc_outside_swapped"),
    *("a_plugins_own", "attribution_seconds.occlusion", "collapsed", "map_size.grad_cam", "model_steps"),
    *("randomisation.ssim.rise", "stopped_early", "test_id.auc.half_1", "test_id.iou.rise", "test_ood.chance_iou"),
    *("train.n", "zzz", "train_seconds", "evaluate_seconds", "attribution_seconds", "started_at", "plugins"),
    *("host", "code_version", "schema_version", "mlflow_run_id"),
)


def with_line(tmp_path: Path, line: str):
    """records/columns.py with one more line in its table, as a module of its own."""
    source = Path(columns.__file__).read_text()
    assert source.count(LINE) == 1
    (tmp_path / "more_columns.py").write_text(source.replace(LINE, LINE + line))
    spec = importlib.util.spec_from_file_location("more_columns", tmp_path / "more_columns.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_order_of_a_record():
    assert tuple(columns.ordered(set(IN_ORDER))) == IN_ORDER


def test_the_tuples_follow_from_the_table():
    assert tuple(name for name in columns.IDENTITY if name in FIRST) == FIRST
    assert tuple(name for name in IN_ORDER if "outside" in name) == columns.PROBES
    assert {"train_seconds", "started_at"} <= set(columns.with_role("time"))
    assert {"sweep", "host", "code_version", "mlflow_run_id"} <= set(columns.with_role("provenance"))
    names = [column.name for column in columns.COLUMNS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "role", "label"),
    [
        ("test_ood.auc", "performance", "OOD test AUC"),
        ("valid_id.accuracy", "performance", "ID validation accuracy"),
        ("data_seed", "seed", "data seed"),
        ("hp.batch_size", "configuration", "batch size"),
        ("hp.searcher", "annotation", "searcher"),
        ("test_ood.iou.grad_cam", "measure", "iou of grad cam on the OOD test set"),
        ("test_ood.iou.grad_cam.half_2", "measure", "iou of grad cam on the OOD test set, half 2"),
        ("test_id.auc.half_1", "measure", "ID test AUC, half 1"),
        ("test_id.faithfulness.deletion.rise", "measure", "deletion of rise on the ID test set"),
        ("test_id.auc_outside_swapped", "probe", "AUC, outside swapped"),
        (
            "test_ood.correctness_auroc.iou.grad_cam",
            "measure",
            "AUROC of iou of grad cam for right answers on the OOD test set",
        ),
        ("test_id.chance_iou", "measure", "chance IoU on the ID test set"),
        ("attribution_seconds.rise", "time", "seconds of rise"),
        ("unheard_of", "measure", "unheard of"),
    ],
)
def test_role_and_label(name, role, label):
    assert columns.column_of(name).role == role
    assert columns.label(name) == label


def test_a_label_takes_its_words_from_outside():
    words = {"iou": "IoU", "grad_cam": "Grad-CAM"}.get
    assert columns.label("test_ood.iou.grad_cam", words) == "IoU of Grad-CAM on the OOD test set"


def test_probes_and_correctness_are_no_localisation():
    names = [*columns.PROBES, columns.correctness_auroc("test_id", "iou", "grad_cam")]
    assert [columns.parse_localisation(name) for name in names] == [None] * 4
    assert not any(columns.is_run_specific(name) for name in names)
    assert columns.settings_in(names) == []


@pytest.mark.parametrize(
    "name",
    [
        *("test_ood.auc.std", "test_ood.auc.1", "test_id.accuracy.mean", "test_ood.auc.half_1"),
        *("test_ood.n.1", "test_id.auc_outside_zeroed.1", "test_id.chance_iou.1"),
    ],
)
def test_what_adds_to_a_column_of_its_own_is_no_localisation(name):
    assert columns.parse_localisation(name) is None


def test_metrics_of_the_distractor_are_those_that_say_so():
    of_distractor = {name for name, metric in LOCALISATION.items() if traits_of(metric).on_distractor}
    assert of_distractor == set(columns.ON_DISTRACTOR), "correct ON_DISTRACTOR in records/columns.py"


def test_which_columns_are_configuration():
    names = [*resolve({"method": "adversarial"}).columns(), columns.SEARCHER, "test_ood.auc"]
    no_settings = {"trial_key", columns.SEARCHER, "test_ood.auc"}
    assert columns.settings_in(names) == [n for n in names if n not in no_settings]
    assert columns.configuration_in(names) == [n for n in names if n not in {*no_settings, "seed", "data_seed"}]


def test_which_columns_differ_between_runs():
    differing = {n for n in IN_ORDER if columns.is_run_specific(n)}
    assert differing == {*columns.with_role("time", "provenance")} & {*IN_ORDER} | {"attribution_seconds.occlusion"}


def test_a_new_measure_is_one_line(tmp_path):
    more = with_line(tmp_path, '    Column("{split}.brier", "measure", "number", "{split} Brier score"),\n')
    assert more.label("test_ood.brier") == "OOD test Brier score"
    assert more.column_of("test_ood.brier").kind == "number"
    assert more.ordered({"host", "test_ood.brier", "test_ood.auc", "seed"}) == [
        *("seed", "test_ood.auc", "test_ood.brier", "host"),
    ]
    assert more.IDENTITY == columns.IDENTITY


def test_a_new_time_or_provenance_is_one_line(tmp_path):
    more = with_line(tmp_path, '    Column("chip", "provenance", "text", "chip"),\n')
    assert set(more.with_role("provenance")) == {"chip", *columns.with_role("provenance")}
    assert "chip" in more.NOTED, "a tag in MLflow"
    assert more.is_run_specific("chip")
    assert not columns.is_run_specific("chip")


def test_a_setting_gets_a_column_of_its_own_by_one_line(monkeypatch):
    lr = replace(columns.column_of("strength"), name="lr", label="learning rate")
    monkeypatch.setattr(columns, "IDENTITY", (*columns.IDENTITY, lr.name))
    assert columns.setting("lr") == "lr"
    assert resolve({"lr": 0.5}).columns()["lr"] == 0.5
