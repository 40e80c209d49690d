"""Every registered name has a file of its own, and every file is registered or a known helper."""

from itertools import combinations
from pathlib import Path

import pytest

import trainables
from trainables import ATTRIBUTIONS, DATASETS, LOCALISATION, METHODS, MODELS
from trainables.core.config import TrialConfig
from trainables.datasets import PLACES, Dataset
from trainables.methods import Method, Penalty
from trainables.models import Classifier
from trainables.saliency.attribution import Attribution
from trainables.saliency.faithfulness import FAITHFULNESS
from trainables.saliency.localisation import TUNED

PACKAGE = Path(trainables.__file__).parent
REGISTRIES = {
    "methods": (
        METHODS.builtin,
        {
            "altered",
            "costs",
            "grad_cam",
            "input_gradient_penalty",
            "layer_walk",
            "method",
            "noise",
            "region",
            "shuffle",
            "running_statistics",
        },
    ),
    "models": (MODELS.builtin, {"classifier", "initialise"}),
    "datasets": (
        {**DATASETS.builtin, **PLACES},
        {"__main__", "dataset", "dilation", "find", "mnist", "photographs", "report"},
    ),
    "attribution": (ATTRIBUTIONS.builtin, {"attribution", "randomisation"}),
    "faithfulness": (FAITHFULNESS, {"explained", "fade"}),
    "localisation": ({**LOCALISATION.builtin, **TUNED}, {"blur", "chance", "highest", "region"}),
}


@pytest.mark.parametrize("folder", sorted(REGISTRIES))
def test_files_and_names_agree(folder):
    registry, helpers = REGISTRIES[folder]
    files = {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}
    assert files == set(registry) | helpers
    for name, entry in registry.items():
        assert entry.__module__ == f"trainables.{folder}.{name}"
        assert entry.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize(
    ("registry", "base"),
    [(METHODS, Method), (MODELS, Classifier), (DATASETS, Dataset), (ATTRIBUTIONS, Attribution)],
)
def test_entries_are_subclasses_and_keys_are_in_order(registry, base):
    assert list(registry) == sorted(registry)
    assert all(issubclass(entry, base) for entry in registry.values())


def test_methods_with_a_penalty_are_penalties():
    assert {name for name, method in METHODS.items() if method.has_penalty} == {
        name for name, method in METHODS.items() if issubclass(method, Penalty)
    }
    without = [name for name in METHODS.builtin if not METHODS[name].has_penalty]
    assert without == ["baseline", "dfr", "group_dro", "masked", "masktune", "shuffled"]


def test_option_names_do_not_collide():
    groups = {"TrialConfig": set(TrialConfig.model_fields)}
    groups |= {name: set(method.Options.model_fields) for name, method in METHODS.items()}
    groups |= {name: set(dataset.Options.model_fields) for name, dataset in DATASETS.items()}
    for (first, names), (second, others) in combinations(groups.items(), 2):
        if first in DATASETS and second in DATASETS:
            continue  # a trial has one dataset, so two datasets may share a name such as n_train
        assert not names & others, f"{first} and {second} share {names & others}"


def test_every_method_has_a_trainable_of_its_name():
    for name, method in METHODS.builtin.items():
        trainable = getattr(trainables, method.__name__)
        assert trainable is trainables.TRAINABLES[name]
        assert trainable.method == name
