"""Every file of a registry's folder is registered or used, and every entry says what it is."""

import ast
from itertools import combinations
from pathlib import Path

import pytest

import trainables
from trainables import ATTRIBUTIONS, DATASETS, LOCALISATION, METHODS, MODELS
from trainables.core.config import TrialConfig
from trainables.datasets import PLACES, Dataset
from trainables.methods import Method
from trainables.models import Classifier
from trainables.saliency.attribution import Attribution
from trainables.saliency.localisation import TUNED

PACKAGE = Path(trainables.__file__).parent
REGISTRIES = {
    "methods": METHODS.builtin,
    "models": MODELS.builtin,
    "datasets": {**DATASETS.builtin, **PLACES},
    "saliency.attribution": ATTRIBUTIONS.builtin,
    "saliency.localisation": {**LOCALISATION.builtin, **TUNED},
}


def imported_modules() -> set[str]:
    """Modules that a file of this project imports, registries aside."""
    names = set()
    for folder in ("trainables", "driver"):
        for path in (PACKAGE.parent / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text())) if path.name != "__init__.py" else ()
            for node in nodes:
                if isinstance(node, ast.ImportFrom) and node.module:
                    names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("folder", sorted(REGISTRIES))
def test_every_file_is_registered_or_used(folder):
    package = f"trainables.{folder}"
    modules = {f"{package}.{path.stem}" for path in (PACKAGE / folder.replace(".", "/")).glob("[!_]*.py")}
    registered = {entry.__module__ for entry in REGISTRIES[folder].values()}
    assert modules
    forgotten = modules - registered - imported_modules()
    assert not forgotten, f"register what these files hold, or remove them: {', '.join(sorted(forgotten))}"


@pytest.mark.parametrize("folder", sorted(REGISTRIES))
def test_every_entry_is_of_its_folder_and_has_a_docstring(folder):
    for name, entry in REGISTRIES[folder].items():
        assert entry.__module__.startswith(f"trainables.{folder}."), name
        assert entry.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize(
    ("registry", "base"),
    [(METHODS, Method), (MODELS, Classifier), (DATASETS, Dataset), (ATTRIBUTIONS, Attribution)],
)
def test_entries_are_subclasses_and_keys_are_in_order(registry, base):
    assert list(registry) == sorted(registry)
    assert all(issubclass(entry, base) for entry in registry.values())


def test_option_names_do_not_collide():
    groups = {"TrialConfig": set(TrialConfig.model_fields)}
    groups |= {name: set(method.Options.model_fields) for name, method in METHODS.items()}
    groups |= {name: set(dataset.Options.model_fields) for name, dataset in DATASETS.items()}
    for (first, names), (second, others) in combinations(groups.items(), 2):
        if first in DATASETS and second in DATASETS:
            continue  # a trial has one dataset, so two datasets may share a name such as n_train
        assert not names & others, f"{first} and {second} share {names & others}"
