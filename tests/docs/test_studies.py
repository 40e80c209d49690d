"""The tables of the studies write numbers as the reports do."""

from docs import studies

BOUNDS = {"prediction_low": -0.2, "prediction_high": 0.004, "prediction_dataset_low": None}
COMPARISON = {"comparison": "seed", "answer": "no", "estimate": -0.001, "ci_low": -0.12, "ci_high": 0.0}
MISSING = {"prediction_dataset_high": None, "auc_per_tenth": None}


def test_zero_has_no_sign_and_what_is_missing_is_empty():
    written = studies.answer({"comparisons": [COMPARISON | BOUNDS | MISSING]})
    row = [entry.strip() for entry in written.splitlines()[-1].strip("|").split("|")]
    assert row == ["seeds alone", "**no**", "0.00 (−0.12 to 0.00)", "−0.20 to 0.00", "", ""]
    no_interval = COMPARISON | {"ci_low": None, "ci_high": None}
    assert "| 0.00 |" in studies.pairs({"comparisons": [no_interval]})
    assert "| −" not in studies.pairs({"comparisons": [no_interval]})


def test_columns_are_named_as_the_reports_name_comparisons():
    level = {"dataset": "synthetic", "severity": 1.0, "estimate": 0.5}
    written = studies.strata({"comparisons": [{"comparison": "given_id", "strata": [level]}]})
    assert "| given validation AUC |" in written.splitlines()[0]
    assert "crosses, s = 1" in written
