"""From a space and the command line to trials, their order, and the estimate of their time."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
import torch

from driver import UserError
from driver.plan.cost import estimated_seconds
from driver.plan.make_plan import deal, diagonal, make_plan
from driver.plan.plan import declare, open_records
from records import Manifest, columns
from search_spaces import SPACES, Primary, Space
from search_spaces.space import factorial
from trainables import ATTRIBUTIONS, DATASETS, resolve
from trainables.core.config import parse_settings
from trainables.datasets import load
from trainables.models.initialise import initialise
from trainables.trial.same_training import by_training


def test_a_dataset_and_a_maximum_restrict_a_space():
    whole = make_plan("smoke", None, {}, None).trials
    assert len(whole) == 192
    assert all(key == config.trial_key for key, config in whole.items())
    synthetic = make_plan("smoke", "synthetic", {}, None).trials
    assert synthetic == {key: config for key, config in whole.items() if config.dataset == "synthetic"}
    for most in (5, 500):
        assert list(make_plan("smoke", None, {}, most).trials) == list(whole)[:most]


def test_an_override_reaches_every_trial_and_equal_trials_are_merged():
    plan = make_plan("smoke", None, {"epochs": 9, "severity": 0.25}, None)
    assert len(plan.trials) == 192 // 2
    assert {(c.epochs, c.severity) for c in plan.trials.values()} == {(9, 0.25)}


def test_a_control_of_the_masks_reaches_the_methods_that_read_them():
    plain, control = (make_plan("smoke", "synthetic", o, None).trials for o in ({}, {"mask_condition": "shifted"}))
    assert len(control) == len(plain)
    assert {c.method for c in control.values() if c.mask_condition == "expert"} == {"baseline"}
    assert {c.method for key, c in control.items() if key in plain} == {"baseline"}


def test_a_setting_of_one_method_or_dataset_reaches_its_trials_alone():
    for config in make_plan("smoke", None, {"n_test": 100}, None).trials.values():
        assert config.flat().get("n_test", 100) == 100
        assert ("n_test" in config.flat()) == (config.dataset == "synthetic")
    for config in make_plan("own_data", None, {"disc_iter": 5}, 100).trials.values():
        assert config.flat().get("disc_iter", 5) == 5
        assert ("disc_iter" in config.flat()) == (config.method == "adversarial")


def test_each_selection_rule_gives_a_trial_without_further_training():
    rules = ("last", "best_valid_id", "best_valid_ood")
    trials = list(make_plan("smoke", None, {"selection": ",".join(rules)}, None).trials.values())
    assert len(trials) == 192 * 3
    assert tuple(c.selection for c in trials[:3]) == rules
    assert [len(alike) for alike in by_training(trials)] == [3] * 192
    assert len(make_plan("smoke", None, {"selection": ",".join(rules)}, 4).trials) == 4


def test_a_primary_must_be_computed_by_some_trial_however_short_the_plan(monkeypatch):
    maps = ("input_gradient",), ("grad_cam",)
    trials = [{"dataset": "synthetic", "method": "rrr", "attributions": names} for names in maps]
    space = Space("own", "", iter(trials), Primary(attribution="grad_cam"))
    monkeypatch.setitem(SPACES, "own", lambda: space)
    assert len(make_plan("own", None, {}, 1).trials) == 1
    for lost in ({"attributions": ("input_gradient",)}, {"metrics": ("iop",)}):
        with pytest.raises(UserError, match="no trial computes iou of grad_cam, the primary analysis of space 'own'"):
            make_plan("own", None, lost, None)


def test_a_strength_applies_to_methods_with_a_penalty():
    trials = make_plan("smoke", None, {"strength": 0.5}, None).trials.values()
    strengths = {config.method: config.strength for config in trials}
    assert strengths["baseline"] == strengths["masked"] == strengths["shuffled"] == 0
    assert strengths["gradmask"] == strengths["actdiff"] == 0.5


def test_values_are_read_as_json_where_they_are():
    arguments = ["epochs=8", "lr=1e-2", "model=resnet18", "attributions=occlusion,input_gradient"]
    attributions = ("occlusion", "input_gradient")
    assert parse_settings(arguments) == {"epochs": 8, "lr": 0.01, "model": "resnet18", "attributions": attributions}


def test_the_size_of_a_seed():
    assert make_plan("smoke", None, {}, None).replicate == 32
    assert make_plan("smoke", None, {}, 5).replicate == 32, "also where it is cut short"
    assert make_plan("smoke", "synthetic", {"severity": 1}, None).replicate == 8, "merged trials count once"
    assert make_plan("smoke", None, {"seed": 0, "data_seed": 0}, None).replicate == 32
    assert make_plan("paper_search", None, {}, None).replicate is None


def finished(config, status):
    return {**config.columns(), "status": status, "schema_version": columns.SCHEMA_VERSION}


def test_done_and_diverged_trials_are_skipped_and_failed_ones_run_again(tmp_path):
    plan = make_plan("smoke", None, {}, 4)
    records = open_records(str(tmp_path), "x", fresh=False)
    first, second, third, fourth = plan.trials.values()
    for config, status in ((first, "completed"), (second, "diverged"), (third, "failed")):
        records.write(finished(config, status))
    assert plan.pending(records.load().records) == [third, fourth]


def test_fresh_takes_the_next_free_name(tmp_path):
    plan = make_plan("smoke", None, {}, 1)
    names = []
    for _ in range(3):
        records = open_records(str(tmp_path), "x", fresh=True)
        declare(records, plan, "python sweep.py")
        names.append(records.name)
    assert names == ["x", "x-2", "x-3"]
    assert open_records(str(tmp_path), "x", fresh=False).name == "x"


def test_the_primary_stays_as_it_was_declared_first(tmp_path):
    plan = make_plan("smoke", None, {}, 1)
    records = open_records(str(tmp_path), "x", fresh=False)
    first = Manifest(space="other", primary=Primary(metric="iop", attribution="occlusion"), comparisons=("seed",))
    records.write_manifest(first)
    declare(records, plan, "python sweep.py")
    added = {"planned_trials": 1, "commands": ("python sweep.py",), "fixed": plan.fixed()}
    assert records.manifest() == replace(first, **added)


def test_sweep_json_remembers_that_a_command_kept_all_weights(tmp_path):
    plan, records = make_plan("smoke", None, {}, 1), open_records(str(tmp_path), "x", fresh=False)
    kept = []
    for keep in ("best", "all", "none", "best"):
        declare(records, plan, "python sweep.py", keep=keep)
        kept.append(records.manifest().keep_weights)
    assert kept == [None, "all", "all", "all"]


def test_trials_that_other_commands_left_in_the_sweep_are_counted(tmp_path):
    records = open_records(str(tmp_path), "x", fresh=False)
    first = make_plan("smoke", None, {}, 3)
    for config in first.trials.values():
        records.write(finished(config, "completed"))
    second = make_plan("smoke", None, {"epochs": 2}, 2)
    declare(records, second, "python sweep.py", len(second.others(records.load().records)))
    assert records.manifest().planned_trials == 5, "not `3 of 2 trials done`"
    declare(records, first, "python sweep.py", len(first.others(records.load().records)))
    assert records.manifest().planned_trials == 3, "what was planned and never ran is not waited for"


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (2, 2), (2, 4), (3, 5), (4, 6), (6, 4)])
def test_a_diagonal_has_every_pair_once_and_steps_through_both_sequences(n, m):
    pairs = diagonal(range(n), range(m))
    assert sorted(pairs) == list(product(range(n), range(m)))
    for start in range(len(pairs) - m + 1):
        # A turn to the next diagonal may repeat a value of the first sequence, never of the second.
        assert len({second for _, second in pairs[start : start + m]}) == m
    assert {first for first, _ in pairs[:n]} == set(range(n))


@pytest.mark.parametrize("name", ["smoke", "own_data", "methods"])
def test_the_first_trials_of_each_seed_have_every_severity_dataset_and_method(name):
    for seed in deal(SPACES[name]().trials):
        cells = {(s["dataset"], s["severity"], s["method"]) for s in seed}
        for place, axis in enumerate(("dataset", "severity", "method")):
            levels = {cell[place] for cell in cells}
            strata = len({cell[:2] for cell in cells})
            first = len(levels) if axis == "method" else strata
            assert {s[axis] for s in seed[:first]} == levels, axis
        assert {(s["dataset"], s["severity"], s["method"]) for s in seed[: len(cells)]} == cells


def test_a_prefix_of_a_seed_has_its_settings_in_even_shares():
    strengths = {"a": (0.0,), "b": (1.0, 2.0, 3.0, 4.0)}
    (seed,) = deal(factorial((0,), ("d",), (0.0, 0.5, 1.0), strengths))
    assert seed[0]["severity"] == 1.0
    assert [s["severity"] for s in seed[:3]] == [1.0, 0.0, 0.5], "from both ends"
    b = [s for s in seed if s["method"] == "b"]
    assert len({s["strength"] for s in b[:3]}) == 3, "no strength first in every cell"
    for n in range(3, len(b) + 1, 3):
        assert set(Counter(s["severity"] for s in b[:n]).values()) == {n // 3}


def test_nothing_is_lost_or_added_and_whole_seeds_stay_in_their_order():
    trials = SPACES["paper_seeds"]().trials
    dealt = deal(trials)
    assert [seed[0]["seed"] for seed in dealt] == list(dict.fromkeys(s["seed"] for s in trials))
    key = {repr(sorted(s.items())) for s in trials}
    assert {repr(sorted(s.items())) for seed in dealt for s in seed} == key
    assert sum(map(len, dealt)) == len(trials)
    # Presets that share a training stay together.
    assert all(one["method"] == other["method"] for one, other in zip(dealt[0][::2], dealt[0][1::2], strict=True))


def test_missing_and_invalid_severities_and_seeds_are_dealt():
    odd = [{"dataset": "d", "method": "m"}, {"dataset": "d", "method": "m", "severity": "high"}]
    assert deal(odd) == [odd]


SIZES = {"n_train": 32, "n_valid": 16, "n_test": 16}


@pytest.mark.parametrize("name", sorted(ATTRIBUTIONS.builtin))
def test_an_attribution_costs_about_the_passes_that_it_makes(name):
    settings = {"attributions": (name,), "attribution_passes": 30, "integrated_gradients_steps": 8}
    config = resolve({"dataset": "synthetic", "method": "baseline", "model": "small_cnn", **settings})
    model = initialise("small_cnn", 1, 2, seed=0).eval()
    images = load(DATASETS["synthetic"], DATASETS["synthetic"].Options(**SIZES), 1.0, 0)["train"].images[:4]
    made = []

    # A backward pass costs about two forward passes.
    def count(model, inputs, output):
        made.append(len(inputs[0]) * (1 + 2 * output.logits.requires_grad))

    model.register_forward_hook(count)
    attribution = ATTRIBUTIONS[name](config)
    attribution.maps(model, images, torch.tensor([0, 1, 0, 1]))
    assert sum(made) == pytest.approx(len(images) * attribution.passes(images), rel=0.35)


def test_the_estimate_grows_with_epochs_trials_and_maps_but_not_with_shared_trainings():
    base = resolve({"attributions": ("input_gradient",), "epochs": 1, **SIZES})
    one = estimated_seconds([base])
    assert estimated_seconds([base, base.model_copy(update={"seed": 1})]) == pytest.approx(2 * one)
    for more in ({"epochs": 1000}, {"attributions": ("integrated_gradients",), "integrated_gradients_steps": 200}):
        assert estimated_seconds([base.model_copy(update=more)]) > 2 * one
    long = base.model_copy(update={"epochs": 1000})
    shared = long.model_copy(update={"selection": "last"})
    assert estimated_seconds([long, shared]) < 1.5 * estimated_seconds([long])
