"""Records of other commands are told apart by the settings that the sweep's command did not vary."""

import json

import pandas as pd
import pytest

from analysis.trials.fixed import other_setting
from analysis.trials.load import load_file

ROWS = pd.DataFrame(
    {
        "dataset": "d",
        "severity": 1.0,
        "method": ["a", "a", "b", "b"],
        "seed": [0, 0, 0, 1],
        "data_seed": [0, 0, 0, 1],
        "epochs": [1, 3, 3, 3],
        "hp.width": [None, None, 8, 8],
        "test_ood.auc": [0.1, 0.2, 0.3, 0.4],
        "test_ood.iou.integrated_gradients": [0.1, 0.2, 0.3, 0.4],
    }
)
FIXED = {"d": {"epochs": 3, "hp.width": 8}}


def reasons(fixed, **other):
    return list(other_setting(ROWS.assign(**other), fixed))


def test_a_row_with_another_value_is_named_by_it():
    assert reasons(FIXED) == ["epochs other than 3", "", "", ""], "a lacks the width, as it does not have the setting"
    assert reasons({"d": {"epochs": 1}}) == ["", *["epochs other than 1"] * 3]
    assert reasons({"other": {"epochs": 1}}) == [""] * 4
    assert reasons({}) == [""] * 4


def test_a_setting_left_out_at_its_default():
    precision = {"hp.precision": [None, "bfloat16", None, None]}
    assert reasons({"d": {"hp.precision": None}}, **precision) == ["", "precision other than its default", "", ""]
    assert reasons({"d": {"hp.precision": "bfloat16"}}, **precision) == ["precision other than bfloat16", "", "", ""]


@pytest.mark.parametrize(("values", "value"), [([1e-3] * 3 + [0.01], 0.001), (["x", "x", "x", "y"], "x")])
def test_values_read_from_text_are_the_same(values, value):
    named = reasons({"d": {"hp.s": value}}, **{"hp.s": list(map(str, values))})
    assert [bool(reason) for reason in named] == [False] * 3 + [True]
    assert not any(reasons({"d": {"hp.flag": True}}, **{"hp.flag": ["True", "true", True, "TRUE"]}))


def test_rows_with_other_values_are_excluded_if_there_is_a_manifest(tmp_path):
    ROWS.to_csv(tmp_path / "trials.csv", index=False)
    assert load_file(tmp_path / "trials.csv").excluded == {}
    (tmp_path / "sweep.json").write_text(json.dumps({"fixed": FIXED}))
    trials = load_file(tmp_path / "trials.csv")
    assert trials.excluded == {"epochs other than 3": 1}
    assert list(trials.table["epochs"]) == [3, 3, 3]
