"""Spaces: every trial is a valid configuration, no trial appears twice, any prefix of whole seeds is balanced."""

import re
from collections import Counter
from itertools import product

import pandas as pd
import pytest
from support import tiny_waterbirds

from analysis.answer.cells import MINIMUM_UNITS
from analysis.answer.combine import MINIMUM_CELLS, MINIMUM_METHODS
from analysis.stats.replicated import MINIMUM_CLUSTERS
from records import Primary, columns
from search_spaces import SPACES
from search_spaces.published import dilation
from search_spaces.space import factorial
from search_spaces.strengths import PAPER_METHODS, strength_grid
from trainables import DATASETS, LOCALISATION, METHODS, TrialConfig, resolve
from trainables.trial.data import CONDITIONS
from trainables.trial.same_training import by_training


def size_marks(name: str) -> list[pytest.MarkDecorator]:
    """Spaces of thousands of trials take seconds to check."""
    return [pytest.mark.slow] if len(SPACES[name]().trials) > 1000 else []


@pytest.mark.parametrize("name", [pytest.param(name, marks=size_marks(name)) for name in sorted(SPACES)])
class TestEverySpace:
    def test_each_trial_is_valid_and_appears_once_and_some_compute_the_primary(self, name):
        space = SPACES[name]()
        assert space.name == name
        assert space.description
        configs = [resolve(settings) for settings in space.trials]
        assert len({config.trial_key for config in configs}) == len(configs) > 0
        assert space.primary.metric in LOCALISATION
        assert all(space.primary.attribution in config.attributions for config in configs)

    def test_its_docstring_opens_with_its_size(self, name):
        space = SPACES[name]()
        number = len(space.trials) * (space.search.trials if space.search else 1)
        opening = SPACES[name].__doc__.partition(": ")[0]
        if of_all_methods := re.fullmatch(r"(\d+) trials per method with a penalty, (\d+) per method without", opening):
            penalties = [METHODS[method].has_penalty for method in METHODS.builtin]
            assert number == sum(int(of_all_methods[1 if penalty else 2]) for penalty in penalties)
        else:
            assert opening == f"{number:,} trials"

    def test_seeds_are_outermost_and_have_the_same_design(self, name):
        trials = SPACES[name]().trials
        seeds = [settings["seed"] for settings in trials]
        assert seeds == sorted(seeds)
        if SPACES[name]().search is not None:
            pytest.skip("a search has one seed")
        designs = {}
        for settings in trials:
            rest = tuple(sorted((k, v) for k, v in settings.items() if k not in ("seed", "data_seed")))
            designs.setdefault(settings["data_seed"], []).append(rest)
        first, *others = designs.values()
        assert len(others) >= 1
        assert all(design == first for design in others)


def test_methods_has_every_method():
    trials = SPACES["methods"]().trials
    levels = {m: len({s["strength"] for s in trials if s["method"] == m}) for m in METHODS.builtin}
    assert levels == {m: 4 if METHODS[m].has_penalty else 1 for m in METHODS.builtin}
    assert len({s["data_seed"] for s in trials}) == MINIMUM_CLUSTERS


def test_smoke_has_what_every_comparison_needs():
    trials = SPACES["smoke"]().trials
    strata = Counter((s["dataset"], s["severity"]) for s in trials)
    assert strata == dict.fromkeys(product(("synthetic", "decoy_digits"), (0.9, 1.0)), 8 * 6)
    assert len({s["data_seed"] for s in trials}) >= MINIMUM_CLUSTERS
    settings = Counter(s["method"] for s in trials if (s["dataset"], s["severity"], s["seed"]) == ("synthetic", 1.0, 0))
    assert len(settings) >= MINIMUM_METHODS
    assert max(settings.values()) >= MINIMUM_UNITS
    assert len(strata) >= MINIMUM_CELLS, "of the method that has several settings"
    assert SPACES["smoke"]().larger in SPACES


def test_laptop_crosses_strengths_rates_severities_and_seeds_on_two_datasets():
    space = SPACES["laptop"]()
    table = pd.DataFrame(space.trials)
    assert table.groupby("dataset").size().to_dict() == {"synthetic": 3040, "digits_on_photos": 3040}
    assert (table.groupby(["dataset", "data_seed"])["seed"].nunique() == 2).all()
    assert table["data_seed"].nunique() == 10
    assert table.groupby("seed")["data_seed"].nunique().max() == 1, "a training seed belongs to one data seed"
    assert table["data_seed"].tolist()[: len(table) // 2] == table["seed"].tolist()[: len(table) // 2]
    assert (table.groupby("dataset")["severity"].nunique() == 4).all()
    assert set(table["method"]) == set(PAPER_METHODS)
    # For every method with a penalty, more settings than their comparison needs, in every cell.
    cells = table[["dataset", "severity", "method", "strength", "lr"]].drop_duplicates()
    settings = cells.groupby(["dataset", "severity", "method"]).size()
    assert all(n == (8 if METHODS[cell[2]].has_penalty else 2) for cell, n in settings.items())
    assert MINIMUM_UNITS <= 8
    assert space.comparisons == columns.COMPARISONS
    assert space.primary == Primary("test_ood", "iou", "integrated_gradients", "test_ood.auc")


@pytest.mark.slow
def test_each_control_has_its_trial_under_correct_masks():
    trials = [resolve(settings) for settings in SPACES["controls"]().trials]
    assert Counter(t.dataset for t in trials) == {"synthetic": 1320, "digits_on_photos": 1320, "coloured_digits": 1320}
    right = {"mask_condition": "expert", "mask_fraction": 1.0, "mask_test": False, "mask_dilation": 0}
    keys = {t.trial_key for t in trials}
    assert all(t.model_copy(update=right).trial_key in keys for t in trials)
    assert {t.mask_condition for t in trials} == {"expert", *CONDITIONS}
    assert {t.method for t in trials if t.mask_condition == "random"} == {*PAPER_METHODS} - {"baseline"}


def test_paper_seeds_is_the_published_table():
    trials = [resolve(s) for s in SPACES["paper_seeds"]().trials]
    assert {c.method for c in trials} == set(PAPER_METHODS)
    assert len({c.seed for c in trials}) == 10
    protocol = {(c.model, c.epochs, c.batch_size, c.severity, c.integrated_gradients_steps) for c in trials}
    assert protocol == {("resnet18", 100, 16, 1.0, 200)}
    assert {(c.preset, c.selection) for c in trials} == {("paper", "best_valid_ood"), ("fixed", "best_valid_id")}
    by_method = {c.method: (c.lr, c.strength, c.mask_dilation) for c in trials}
    assert by_method["actdiff"] == (3.11e-4, 0.114963, 3)
    assert by_method["gradmask"] == (1e-2, 0.203439, 4)
    assert by_method["rrr"] == (1e-5, 10.0, 0)
    assert {c.method_options["disc_iter"] for c in trials if c.method == "adversarial"} == {10}
    # Three methods do not read the preset: both of their trials are trained once.
    assert Counter(len(alike) for alike in by_training(trials)) == {2: 3 * 10, 1: 4 * 2 * 10}


@pytest.mark.parametrize(("name", "number"), [("paper_seeds", 7 * 10 * 2 * 2), ("paper_search", 7 * 2)])
def test_the_x_ray_sets_of_the_paper_are_available_on_request(name, number):
    options = {name: set(DATASETS[name].Options.model_fields) for name in ("xray_site", "rsna_view")}
    on_request = SPACES[name]().on_request
    assert {dataset: len(trials) for dataset, trials in on_request.items()} == dict.fromkeys(options, number)
    for dataset, trials in on_request.items():
        known = set(TrialConfig.model_fields) | options[dataset] | {"disc_iter", "disc_lr"}
        assert all(set(settings) <= known and settings["dataset"] == dataset for settings in trials)
        assert {s["severity"] for s in trials} == {0.8, 0.0}
        # The published strengths are for the published pixels, 25 positives of each group are scored.
        protocol = {(s["pixels"], s["split_by"], s["attribution_images"]) for s in trials}
        assert protocol == {("published", "published", 50)}
    rrr = [s for s in on_request["rsna_view"] if (s["method"], s["severity"]) == ("rrr", 0.8)]
    if name == "paper_seeds":
        assert {(s["lr"], s["strength"], s["image_size"]) for s in rrr} == {(1e-2, 1e-4, 224)}


def test_waterbirds_is_the_published_recipe(tmp_path):
    (trials,) = SPACES["waterbirds"]().on_request.values()
    root = tiny_waterbirds.make(tmp_path)
    configs = [resolve({**settings, "root": str(root)}) for settings in trials]
    assert len({config.trial_key for config in configs}) == len(SPACES["waterbirds"]().trials)
    recipes = {(c.lr, c.weight_decay, c.optimizer, c.momentum, c.schedule, c.batch_size, c.epochs) for c in configs}
    assert recipes == {(lr, decay, "sgd", 0.9, "constant", 128, 300) for lr, decay in ((1e-3, 1e-4), (1e-5, 1.0))}
    networks = {(c.model, c.weights, c.augment, c.dataset_options["image_size"]) for c in configs}
    assert networks == {("torchvision:resnet50", "pretrained", "none", 224)}


def test_xray_densenet_is_the_published_recipe():
    space = SPACES["xray_densenet"]()
    recipes = {(c.lr, c.weight_decay, c.optimizer, c.momentum, c.batch_size) for c in map(resolve, space.trials)}
    assert recipes == {(0.01, 1e-4, "sgd", 0.9, 16)}
    for dataset, trials in space.on_request.items():
        known = set(TrialConfig.model_fields) | set(DATASETS[dataset].Options.model_fields)
        assert len(trials) == len(space.trials)
        assert all(set(settings) <= known and settings["dataset"] == dataset for settings in trials)
        assert {(s["model"], s["weights"], s["augment"], s["image_size"], s["severity"]) for s in trials} == {
            ("torchvision:densenet121", "pretrained", "flip", 224, 0.8)
        }


def test_the_dilation_of_a_published_blur():
    """int(4 sigma + 0.5), as scipy's gaussian_filter takes its radius."""
    blurs = {0.817838: 3, 0.639513: 3, 1.0: 4, 0.124: 0, 0.0: 0}
    assert {blur: dilation(blur) for blur in blurs} == blurs


def test_strengths_are_even_on_a_log_scale():
    assert strength_grid(4)["actdiff"] == (0.01, 0.1, 1.0, 10.0)
    assert strength_grid(4)["masked"] == (0.0,)
    assert strength_grid(2, ("energy",)) == {"energy": (0.01, 10.0)}


def test_a_factorial_by_hand():
    trials = factorial(seeds=(0, 1), datasets=("d",), severities=(0.0,), strengths={"m": (1.0, 2.0)}, lr=(0.1,))
    expected = [(0, 1.0), (0, 2.0), (1, 1.0), (1, 2.0)]
    assert [(t["seed"], t["strength"]) for t in trials] == expected
