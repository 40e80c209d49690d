"""python -m trainables.datasets NAME: checks that a dataset can be used, and describes it."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import numpy as np
import torch
import typer

from records.columns import SPLITS
from records.storage import DEFAULT, default_location
from trainables.core.config import parse_settings
from trainables.core.errors import ConfigurationError
from trainables.core.picture import labelled_grid, tile
from trainables.datasets import find_dataset
from trainables.datasets.dataset import Dataset, Split, load
from trainables.datasets.own.images import OwnImages
from trainables.datasets.own.summary import summary
from trainables.trial.resolve import resolve

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)
BAD_USE = 2


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A dataset: a name, folder:PATH or manifest:FILE.csv.")],
    root: Annotated[str | None, typer.Option(help="Folder with the files of a registered dataset.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the dataset, KEY=VALUE.", metavar="KEY=VALUE")
    ] = None,
    severity: Annotated[float, typer.Option(help="Shift severity in [0, 1].")] = 1.0,
    data_seed: Annotated[int, typer.Option(help="Seeds the data.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="File for a picture of some images.", show_default="dataset.png beside the sweeps"),
    ] = None,
) -> None:
    """Read the whole dataset, describe it, and write a picture of some images with their masks.

    Exit codes: 0 the dataset can be used; 2 it cannot, and the message names file and row.
    """
    try:
        settings = parse_settings(assignments or [])
        if root is not None:
            settings["root"] = root
        config = resolve({"dataset": name, "severity": severity, "data_seed": data_seed, **settings})
        recipe = find_dataset(config.dataset)
        options = recipe.Options(**config.dataset_options)
        dataset = recipe(options, config.severity, config.data_seed)
        dataset.check()
        splits = load(recipe, options, config.severity, config.data_seed)
    except ConfigurationError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise typer.Exit(BAD_USE) from None
    for line in describe(dataset, splits):
        print(line)
    panel = sample_panel(dataset, splits, f"{name}: images at severity {severity:g}")
    # The picture goes into the folder of the sweeps; if they are in a bucket, into sweeps/, which Git ignores.
    storage = default_location()
    path = out or Path(DEFAULT if "://" in storage else storage).expanduser() / "dataset.png"
    try:
        if out is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(panel)
    except OSError as error:
        print(f"cannot write {path}: {error.strerror}; give --out FILE.png", file=sys.stderr)
        raise typer.Exit(BAD_USE) from None
    print(f"Some images, masks in green: {path}")
    if isinstance(dataset, OwnImages):
        sets = [f"root={root}"] * (root is not None) + (assignments or []) + ["severity=1"] * (not dataset.knows_cues)
        arguments = [part for assignment in sets for part in ("--set", assignment)]
        command = ["python", "sweep.py", "--dataset", name, "--space", "own_data", *arguments, "--dry-run"]
        print(f"The data can be used. Next: {shlex.join(command)}")


MARGIN = 13
"""Characters beside the picture's rows."""
SAMPLES = 6
"""Images in the picture for each label and cue."""
FEW = 400
"""With fewer test images an accuracy has a standard error above 0.025."""
LARGE = 0.7
"""If masks cover more of the image, they are probably inverted."""
DARK = 0.25
"""If no pixel is brighter, the pixel range is probably wrong, for example 12-bit values in 16-bit files."""


def describe(dataset: Dataset, splits: Mapping[str, Split]) -> Iterator[str]:
    """Describe a dataset in lines of text: images by split, label and cue, mask coverage, and warnings."""
    channels, height, width = splits["train"].images.shape[1:]
    yield f"Images of {channels} x {height} x {width} (channels, height, width), {dataset.classes} classes"
    used = ""
    if isinstance(dataset, OwnImages):
        yield from summary(dataset)
        n = len(np.unique(np.concatenate(list(dataset.index().values()))))
        why = ", as many as the rarest label and group allow" if dataset.knows_cues else ""
        used = f" {n} of {len(dataset.decoded().rows)} images{why}"
    yield f"Drawn at severity {dataset.severity:g}, data seed {dataset.data_seed}:{used}"
    for name in SPLITS:
        yield f"  {name:9} {_counts(dataset, splits[name])}"
    yield "Masks (share of images that have one; smallest and largest share of pixels inside):"
    for name in SPLITS:
        yield f"  {name:9} {_coverage(dataset, splits[name])}"
    yield from (f"Warning: {warning}" for warning in _warnings(dataset, splits))


def sample_panel(dataset: Dataset, splits: Mapping[str, Split], title: str) -> bytes:
    """PNG of a few images of train and test_ood, a row for each label and cue, with masks outlined in green."""
    rows, tiles = [], []
    for name in ("train", "test_ood"):
        split = splits[name]
        for label, cue in sorted({(int(k), int(c)) for k, c in zip(split.labels, split.cues, strict=True)}):
            index = ((split.labels == label) & (split.cues == cue)).nonzero()[:SAMPLES, 0]
            arrays = {
                "s.images": split.displayed(split.images[index]).numpy(),
                "s.masks": split.masks[index, 0].numpy(),
                "s.distractors": split.distractors[index, 0].numpy(),
            }
            shown = [tile(arrays, "s", i, "image") for i in range(len(index))]
            tiles.append(shown + [np.full_like(shown[0], 255)] * (SAMPLES - len(shown)))
            texts = (name, _label(dataset, label), _cue(dataset, cue))
            rows.append("\n".join(line for text in texts for line in wrap(text, MARGIN)))
    return labelled_grid(tiles, rows, [""] * SAMPLES, title)


def _counts(dataset: Dataset, split: Split) -> str:
    cells = []
    for label in range(dataset.classes):
        cues = torch.bincount(split.cues[split.labels == label] + 1, minlength=dataset.classes + 1).tolist()
        parts = [f"{n} {_cue(dataset, cue - 1)}" for cue, n in enumerate(cues) if n]
        cells.append(f"{int((split.labels == label).sum())} {_label(dataset, label)} ({', '.join(parts)})")
    return f"{len(split)} images: " + "; ".join(cells)


def _coverage(dataset: Dataset, split: Split) -> str:
    share = split.masks.flatten(1).float().mean(dim=1)
    parts = []
    for label in range(dataset.classes):
        of_label = share[split.labels == label]
        masked = of_label[of_label > 0]
        inside = f" ({masked.min():.1%} to {masked.max():.1%} inside)" if len(masked) else ""
        parts.append(f"{_label(dataset, label)}: {len(masked) / max(len(of_label), 1):.0%}{inside}")
    return "; ".join(parts)


def _warnings(dataset: Dataset, splits: Mapping[str, Split]) -> Iterator[str]:
    brightest = max(split.displayed(split.images.max()).item() for split in splits.values())
    if brightest < DARK:
        yield f"the brightest pixel is {brightest:.3f} of white; set pixel_range=LOW:HIGH or pixel_range=image"
    tested = len(splits["test_ood"])
    if tested < FEW:
        yield f"test_ood has {tested} images, so an accuracy has a standard error of up to {0.5 / tested**0.5:.2f}"
    constant = sum(int((s.images.amax(dim=(1, 2, 3)) == s.images.amin(dim=(1, 2, 3))).sum()) for s in splits.values())
    if constant:
        yield f"{constant} images are constant"
    for pool in ("valid", "test"):
        shared = _shared(splits["train"], splits[f"{pool}_id"]) + _shared(splits["train"], splits[f"{pool}_ood"])
        if shared:
            yield f"{shared} {pool} images are identical to training images"
    for label in range(dataset.classes):
        if not any(s.masks[s.labels == label].any() for s in splits.values()):
            name = _label(dataset, label)
            yield f"{name} has no masks at all, so that having a mask reveals the label (see --set empty_mask)"
    covered = torch.cat([split.masks.flatten(1).float().mean(dim=1) for split in splits.values()])
    if (covered > 0).any() and (median := covered[covered > 0].median().item()) > LARGE:
        yield f"masks cover {median:.0%} of an image (median); check that they are 0 outside, not inside"


def _shared(first: Split, second: Split) -> int:
    known = {sha256(image.numpy().tobytes()).digest() for image in first.images}
    return sum(sha256(image.numpy().tobytes()).digest() in known for image in second.images)


def _label(dataset: Dataset, label: int) -> str:
    return dataset.meaning().class_names[label] if isinstance(dataset, OwnImages) else f"class {label}"


def _cue(dataset: Dataset, cue: int) -> str:
    if isinstance(dataset, OwnImages):
        return f"group {dataset.meaning().group_names()[cue]}" if cue >= 0 else "no group"
    return f"cue {cue}"


if __name__ == "__main__":
    app()
