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


class Addition(NamedTuple):
    package: str
    """Its `__init__.py` has the registry."""
    name: str
    """Of the entry and of its file."""
    kind: str
    """Name of the class or function."""
    content: str
    after: str
    """The line that the entry follows."""


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
DATASET = '''\
"""Added dataset: bars that lie or stand, and a bright corner."""

from collections.abc import Mapping

import numpy as np

from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import Dataset, Split, agreement, assign_cues, split_from_arrays


class AddedDataset(Dataset):
    """16 x 16 images of a speckled bar (the mask) that lies or stands; the cue is the corner with a white square."""

    def splits(self) -> Mapping[str, Split]:
        twins = {"valid_id": "valid", "valid_ood": "valid", "test_id": "test", "test_ood": "test"}
        return {name: self._split(part, name.endswith("_ood")) for name, part in {"train": "train", **twins}.items()}

    def _split(self, part: str, out_of_distribution: bool) -> Split:
        rng = numpy_stream("added", part, self.data_seed)
        labels = np.arange(80) % 2
        masks = np.zeros((len(labels), 16, 16), dtype=bool)
        for mask, label in zip(masks, labels, strict=True):
            top, left = rng.integers(0, 6, size=2)
            height, width = (3, 6) if label == 0 else (6, 3)
            mask[top : top + height, left : left + width] = True
        speckles = rng.uniform(0.3, 1.0, size=masks.shape)
        cues = assign_cues(labels, 2, agreement(self.severity, 2, out_of_distribution), rng)
        squares = np.zeros_like(masks)
        squares[cues == 0, -3:, :3] = True
        squares[cues == 1, -3:, -3:] = True
        return split_from_arrays(np.where(squares, 1.0, masks * speckles), labels, masks, squares, cues)
'''
ATTRIBUTION = '''\
"""Added attribution: the squared input gradient."""

from jaxtyping import Float, Int
from torch import Tensor

from trainables.models import Classifier
from trainables.saliency.attribution.attribution import Attribution, as_map, gradient, in_batches


class AddedAttribution(Attribution):
    """(d f_y / dx)², summed over channels."""

    def maps(
        self,
        model: Classifier,
        images: Float[Tensor, "images channels height width"],
        targets: Int[Tensor, " images"],
    ) -> Float[Tensor, "images height width"]:
        return in_batches(lambda x, y: as_map(gradient(model, x, y).square()), images, targets)
'''
METRIC = '''\
"""Added localisation metric: the share of the squared map in the mask."""

from jaxtyping import Bool, Float
from torch import Tensor

from trainables.saliency.localisation.pixels import energy


def added_metric(
    maps: Float[Tensor, "images height width"], masks: Bool[Tensor, "images height width"]
) -> Float[Tensor, " images"]:
    """sum of A² in M / sum of A², in [0, 1]; NaN for an empty mask or an all-zero map."""
    return energy(maps.square(), masks)
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
ATTRIBUTIONS, BUILT_IN = "trainables/saliency/attribution", "_BUILT_IN: dict[str, {}] = {{"
ADDITIONS = (
    Addition("trainables/methods", "added_method", "AddedMethod", METHOD, '    "actdiff": ActDiff,'),
    Addition("trainables/datasets", "added_dataset", "AddedDataset", DATASET, BUILT_IN.format("type[Dataset]")),
    Addition(ATTRIBUTIONS, "added_attribution", "AddedAttribution", ATTRIBUTION, BUILT_IN.format("type[Attribution]")),
    Addition("trainables/saliency/localisation", "added_metric", "added_metric", METRIC, BUILT_IN.format("Metric")),
    Addition("trainables/models", "added_model", "AddedModel", MODEL, BUILT_IN.format("type[Classifier]")),
    Addition("search_spaces", "added_space", "added_space", SPACE, BUILT_IN.format("Callable[[], Space]")),
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
        "driver/run_sweep.py": ("    if request.status:", "        console.print(request.greeting)"),
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


def add(folder: Path, package: str, name: str, kind: str, content: str, after: str) -> None:
    (folder / package / f"{name}.py").write_text(content)
    registry = folder / package / "__init__.py"
    lines = registry.read_text().splitlines()
    first_import = next(i for i, line in enumerate(lines) if line.startswith("from "))
    lines.insert(lines.index(after) + 1, f'    "{name}": {kind},')
    lines.insert(first_import, f"from {package.replace('/', '.')}.{name} import {kind} as {kind}")
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
        add(scratch, *addition)
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
    command = [sys.executable, "sweep.py", "--status", "--greeting", "hello"]
    ran = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
    assert ran.stdout.startswith("hello\n"), ran.stderr
