"""The notes on a plan before it runs, and the settings that sweep.json declares as fixed."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from driver.plan.make_plan import make_plan
from driver.plan.notes import declared_note, others_note, seeds_note
from driver.plan.plan import Plan, declare, fixed_settings, open_records
from records import Manifest, Primary
from search_spaces import Space
from trainables import resolve

SIZES = {
    None: "32 trials are one seed; 192 are 6 seeds",
    32: "32 trials are one seed",
    10: "32 trials are one seed; 10 are part of one: --max-trials 32 ends with a whole seed",
    70: "32 trials are one seed; 70 are 2 seeds and 6 of the next: --max-trials 64 or 96 ends with a whole seed",
}


@pytest.mark.parametrize("max_trials", SIZES)
def test_the_size_of_a_seed_and_the_place_where_the_plan_ends(max_trials):
    plan = make_plan("smoke", None, {}, max_trials)
    assert seeds_note(plan) == SIZES[max_trials]


def test_the_number_of_trainings_per_data_seed():
    trials = {str(number): SimpleNamespace(data_seed=number // 7 % 10) for number in range(140)}
    plan = Plan(Space("two trainings", "", ()), trials, replicate=7)
    assert seeds_note(plan) == "7 trials are one seed; 140 are 20 seeds: 10 data seeds with 2 training seeds each"
    half = replace(plan, trials=dict(list(trials.items())[:70]))
    assert seeds_note(half) == "7 trials are one seed; 70 are 10 seeds"
    assert seeds_note(make_plan("paper_search", None, {}, None)) is None


def records_of(*overrides, space="smoke", n=10):
    plans = [make_plan(space, None, own, n) for own in overrides]
    return [{**config.columns(), "status": "completed"} for plan in plans for config in plan.trials.values()]


APART = "To keep sweeps apart, choose another --name, or --fresh."
BEGINNING = "This sweep also has 10 records that this command would not make."


def test_records_with_other_settings_are_noted():
    plan = make_plan("smoke", None, {"epochs": 3}, 10)
    left_out = "The report leaves out 10 with epochs other than 3."
    assert others_note(plan, records_of({}, {"epochs": 3})) == f"{BEGINNING} {left_out} {APART}"
    assert others_note(plan, records_of({"epochs": 3})) is None
    assert others_note(plan, []) is None


def test_a_different_declaration_is_noted():
    plan = make_plan("smoke", None, {}, 1)
    same = Manifest(space="smoke", primary=plan.space.primary, comparisons=plan.space.comparisons)
    assert declared_note(plan, same) is None
    kept = "; the report keeps that. To use what this command declares, choose another --name, or --fresh."
    for other, words in (
        ({"space": "laptop"}, "space laptop"),
        ({"primary": Primary(metric="iop")}, "primary test_ood.iop.integrated_gradients against test_ood.auc"),
        ({"space": "laptop", "comparisons": ("seed",)}, "space laptop and comparisons seed"),
    ):
        assert declared_note(plan, replace(same, **other)) == f"This sweep was declared with {words}{kept}"


def test_a_setting_that_records_omit_at_its_default_counts_too():
    plain, coarse = (make_plan("smoke", None, own, 10) for own in ({}, {"precision": "bfloat16"}))
    note = others_note(plain, records_of({"precision": "bfloat16"}))
    assert "The report leaves out 10 with precision other than its default." in note
    assert "The report leaves out 10 with precision other than bfloat16." in others_note(coarse, records_of({}))


@pytest.mark.parametrize("override", [{"seed": 7, "data_seed": 7}, {"severity": 0.5}, {"mask_dilation": 3}])
def test_records_that_vary_the_design_count_in_the_report(override):
    note = others_note(make_plan("smoke", None, {}, 10), records_of(override))
    assert note.endswith(f" records that this command would not make. They count in the report. {APART}")


def test_a_setting_that_the_space_varies_is_never_fixed():
    assert "hp.lr" not in make_plan("laptop", None, {"lr": 1e-3}, 100).fixed()["synthetic"]
    assert make_plan("smoke", None, {"lr": 1e-3}, 10).fixed()["synthetic"]["hp.lr"] == 1e-3


def test_the_location_of_images_is_not_fixed(tmp_path):
    settings = {"dataset": "waterbirds", "root": str(tmp_path), "content": "of its files", "method": "baseline"}
    (fixed,) = fixed_settings([settings], [resolve(settings)]).values()
    assert "hp.content" in fixed
    assert "hp.root" not in fixed


def test_the_latest_command_declares_the_fixed_settings_of_its_datasets(tmp_path):
    records = open_records(str(tmp_path), "x", fresh=False)
    plans = [make_plan("smoke", dataset, own, 10) for dataset, own in ((None, {}), ("synthetic", {"epochs": 4}))]
    assert declare(records, plans[0], "python sweep.py")
    assert not declare(records, plans[0], "python sweep.py"), "the same again says nothing new"
    assert declare(records, plans[1], "python sweep.py")
    fixed = json.loads((tmp_path / "x" / "sweep.json").read_text())["fixed"]
    assert (fixed["synthetic"]["epochs"], fixed["decoy_digits"]["epochs"]) == (4, 1)
    assert {"hp.lr", "model", "preset", "hp.attribution_images", "hp.n_train"} < set(fixed["synthetic"])
    assert not {"seed", "data_seed", "severity", "strength", "method", "selection"} & set(fixed["synthetic"])
