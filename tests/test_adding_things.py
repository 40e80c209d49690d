"""What adding one thing costs: a file with an import and an entry in its registry, or a line in each of a few places.

One of each kind is added to a copy of the repository, where no test is touched. `make docs` is run, the contract tests
of the new names, and the tests of whole registries.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from support.commands import ROOT

PLUGIN = ROOT / "tests" / "plugin" / "saliency_extras"


class Addition(NamedTuple):
    package: str
    """Its `__init__.py` has the registry."""
    name: str
    """Of the entry and of its file."""
    kind: str
    """Name of the class or function."""
    content: str
    after: str = "_BUILT_IN: "
    """How the line begins that the entry follows."""


METHOD = '''\
"""Added method: outside pixels become grey, as grey as a setting says."""

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import altered_cross_entropy
from trainables.methods.parts.region import outside_pixels
from trainables.models import Classifier


class AddedMethodOptions(Options):
    added_grey: float = Field(0.5, ge=0, le=1, description="grey value of outside pixels")


class AddedMethod(Penalty):
    """CE(f(x), y) + strength · CE(f(x~), y), x~ grey outside the mask.

    Source: a test.
    """

    reads_preset = False
    strengths = (1e-1, 1e2)
    Options = AddedMethodOptions
    options: AddedMethodOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits = model(batch.images).logits
        grey = torch.where(outside, self.options.added_grey, batch.images)
        penalty = altered_cross_entropy(model, grey, batch.labels, takes_part)
        return Loss(cross_entropy(logits, batch.labels), penalty)
'''
MODEL = '''\
"""Added model: one convolution."""

from torch import nn

from trainables.models.classifier import Classifier


class AddedModel(Classifier):
    """A 3 x 3 convolution with stride 2, batch normalisation and ReLU."""

    feature_size = 8

    def build_trunk(self, channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels, 8, 3, 2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
'''
SPACE = '''\
"""added_space: a baseline, twice."""

from search_spaces.space import Space, factorial


def added_space() -> Space:
    """2 trials: the baseline, twice."""
    trials = factorial(seeds=(0, 1), datasets=("synthetic",), severities=(1.0,), strengths={"baseline": (0.0,)})
    return Space("added_space", "two seeds of the baseline", tuple(trials))
'''
ADDITIONS = (
    Addition("trainables/methods", "added_method", "AddedMethod", METHOD, '    "actdiff": '),
    Addition("trainables/models", "added_model", "AddedModel", MODEL),
    Addition("search_spaces", "added_space", "added_space", SPACE),
    *(
        Addition(f"trainables/{package}", name, kind, (PLUGIN / file).read_text())
        for package, name, kind, file in (
            ("datasets", "added_dataset", "Bars", "bars.py"),
            ("saliency/attribution", "added_attribution", "SquaredGradient", "squared_gradient.py"),
            ("saliency/localisation", "added_metric", "squared_energy", "squared_energy.py"),
        )
    ),
)
LINES = {
    "record column": {
        "records/columns.py": (
            '    Column("host", "provenance", "text", "host"),',
            '    Column("gpu", "provenance", "text", "GPU"),',
        ),
        "trainables/trial/training.py": ('        "host": platform.node(),', '        "gpu": "none",'),
    },
    "option": {
        "sweep.py": (
            "    context: typer.Context,",
            '    greeting: str = option("welcome", "Text to print first.", "TEXT"),',
        ),
        "driver/request.py": ("    sync: bool", "    greeting: str"),
        "driver/run_sweep.py": ("    if request.dry_run:", "        console.print(request.greeting)"),
    },
}
"""By kind and file: the line that the added one follows."""
CONTRACTS = (
    "tests/trainables/methods/test_method_contract.py",
    "tests/trainables/methods/test_penalty_slope.py",
    "tests/trainables/methods/test_costs.py",
    "tests/trainables/datasets/test_dataset_contract.py",
    "tests/trainables/saliency/attribution/test_attributions.py",
    "tests/trainables/saliency/localisation/test_metric_contract.py",
    "tests/trainables/models/test_architectures.py",
    "tests/search_spaces/test_spaces.py",
    "tests/docs/test_methods_page.py",
)
# What one entry promises, for the new names, on the small model; and the sizes of spaces, which methods add to.
OF_THE_NEW = ("-k", "(added_ and not resnet18) or opens_with_its_size", *CONTRACTS)
# What whole registries promise.
OF_ALL = (
    *("-m", "not slow and not cluster"),
    "tests/trainables/test_registries.py",
    "tests/trainables/core/test_registry.py",
    "tests/trainables/models/test_architectures.py",
    "tests/trainables/trial/test_resolve.py",
    "tests/driver/test_command_line.py",
    "tests/search_spaces/test_spaces.py",
    "tests/docs/test_reference.py",
    "tests/records/test_columns.py",
    "tests/records/test_mirror.py",
    "tests/driver/test_run_sweep.py",
)


def add(folder: Path, addition: Addition) -> None:
    (folder / addition.package / f"{addition.name}.py").write_text(addition.content)
    registry = folder / addition.package / "__init__.py"
    lines = registry.read_text().splitlines()
    entry, start = (
        next(i for i, line in enumerate(lines) if line.startswith(begin)) for begin in (addition.after, "_BUILT_IN: ")
    )
    module = f"{addition.package.replace('/', '.')}.{addition.name}"
    lines.insert(entry + 1, f'    "{addition.name}": {addition.kind},')
    lines.insert(start, f"from {module} import {addition.kind} as {addition.kind}")
    registry.write_text("\n".join(lines) + "\n")


@pytest.fixture
def scratch(tmp_path) -> Path:
    """A copy of the repository's files as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(lambda name: (ROOT / name).is_file(), listed.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_one_of_each_kind_costs_as_few_lines_as_it_should(scratch):
    for addition in ADDITIONS:
        add(scratch, addition)
    for lines in LINES.values():
        for file, (after, line) in lines.items():
            text = (scratch / file).read_text()
            assert text.count(f"{after}\n") == 1, file
            (scratch / file).write_text(text.replace(f"{after}\n", f"{after}\n{line}\n"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"PYTHONPATH": str(scratch)}
    run_tests = ("pytest", "-q", "-p", "no:cacheprovider")
    for module in (("docs",), (*run_tests, *OF_THE_NEW), (*run_tests, *OF_ALL)):
        command = [sys.executable, "-m", *module]
        ran = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    command = [sys.executable, "sweep.py", "--dry-run", "--greeting", "hello"]
    ran = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
    assert "hello\n" in ran.stdout, ran.stderr
