"""The table of columns, and what derives from it."""

from dataclasses import replace

import pytest

from records import columns
from trainables import resolve
from trainables.saliency.localisation import LOCALISATION, traits_of

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


def test_the_order_of_a_record():
    assert tuple(columns.ordered(set(IN_ORDER))) == IN_ORDER


def test_the_tuples_follow_from_the_table():
    assert tuple(name for name in columns.IDENTITY if name in FIRST) == FIRST
    assert tuple(name for name in IN_ORDER if "outside" in name) == columns.PROBES
    assert {"train_seconds", "started_at"} <= set(columns.with_role("time"))
    assert {"sweep", "host", "code_version", "mlflow_run_id"} <= set(columns.with_role("provenance"))
    assert {"host", "code_version", "error"} <= set(columns.NOTED), "tags in MLflow"
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
        ("test_id.auc_outside_swapped", "probe", "AUC with another image’s pixels outside the mask"),
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


def test_names_of_a_family():
    assert columns.half(columns.localisation("test_id", "iou", "rise"), 2) == "test_id.iou.rise.half_2"


@pytest.mark.parametrize(
    "name",
    [
        *(*columns.PROBES, columns.correctness_auroc("test_id", "iou", "grad_cam"), "train.iou.x", "hp.a.b"),
        *("test_ood.auc", "test_ood.chance_iou", "test_ood.auc.std", "test_ood.auc.1", "test_id.accuracy.mean"),
        *("test_ood.auc.half_1", "test_ood.n.1", "test_id.auc_outside_zeroed.1", "test_id.chance_iou.1"),
    ],
)
def test_what_is_not_a_localisation_column(name):
    assert columns.parse_localisation(name) is None
    assert columns.parse_localisation("test_ood.iou.integrated_gradients") == (
        "test_ood",
        "iou",
        "integrated_gradients",
    )


def test_metrics_of_the_distractor_are_those_that_say_so():
    of_distractor = {name for name, metric in LOCALISATION.items() if traits_of(metric).on_distractor}
    assert of_distractor == set(columns.ON_DISTRACTOR), "correct ON_DISTRACTOR in records/columns.py"


def test_which_columns_are_configuration():
    names = [*resolve({"method": "adversarial"}).columns(), columns.SEARCHER, "test_ood.auc", *columns.PROBES]
    no_settings = {"trial_key", columns.SEARCHER, "test_ood.auc", *columns.PROBES}
    assert columns.settings_in(names) == [n for n in names if n not in no_settings]
    assert columns.configuration_in(names) == [n for n in names if n not in {*no_settings, "seed", "data_seed"}]


def test_which_columns_differ_between_runs():
    differing = {n for n in IN_ORDER if columns.is_run_specific(n)}
    assert differing == {*columns.with_role("time", "provenance")} & {*IN_ORDER} | {"attribution_seconds.occlusion"}


def test_a_setting_may_get_a_column_of_its_own(monkeypatch):
    lr = replace(columns.column_of("strength"), name="lr", label="learning rate")
    monkeypatch.setattr(columns, "IDENTITY", (*columns.IDENTITY, lr.name))
    assert columns.setting("lr") == "lr"
    assert resolve({"lr": 0.5}).columns()["lr"] == 0.5
