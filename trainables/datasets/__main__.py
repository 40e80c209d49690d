"""python -m trainables.datasets check NAME: check that a dataset can be used, and describe it."""

import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from records.columns import SPLITS
from trainables.core.config import parse_settings
from trainables.core.errors import ConfigurationError
from trainables.core.picture import TILE, labelled_grid, tile
from trainables.datasets import find_dataset
from trainables.datasets.dataset import Dataset, Split, load
from trainables.datasets.own.images import OwnImages
from trainables.trial.resolve import resolve

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
BAD_USE = 2


@app.callback()
def datasets() -> None:
    """Check datasets before compute is spent on them."""


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A dataset: a name, folder:PATH or manifest:FILE.csv.")],
    root: Annotated[str | None, typer.Option(help="Folder with the files of a registered dataset.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the dataset, KEY=VALUE.", metavar="KEY=VALUE")
    ] = None,
    severity: Annotated[float, typer.Option(help="Shift severity in [0, 1].")] = 1.0,
    data_seed: Annotated[int, typer.Option(help="Seeds the data.")] = 0,
    out: Annotated[Path, typer.Option(help="File for a picture of some images.")] = Path("dataset.png"),
) -> None:
    """Read the whole dataset, describe it, and write a picture of some training images with their masks.

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
    try:
        out.write_bytes(sample_panel(dataset, splits["train"], f"{name}: training images at severity {severity:g}"))
    except OSError as error:
        print(f"cannot write {out}: {error.strerror}; give --out FILE.png", file=sys.stderr)
        raise typer.Exit(BAD_USE) from None
    print(f"Some training images: {out}")


if __name__ == "__main__":
    app()


SAMPLES = 6
"""Images in the picture for each label and cue."""
FEW = 400
"""With fewer test images an accuracy has a standard error above 0.025."""
DARK = 0.25
"""If no pixel is brighter, the pixel range is probably wrong, for example 12-bit values in 16-bit files."""


def describe(dataset: Dataset, splits: Mapping[str, Split]) -> Iterator[str]:
    """Describe a dataset in lines of text: images by split, label and cue, mask coverage, and warnings."""
    train = splits["train"]
    channels, height, width = train.images.shape[1:]
    yield f"Images of {channels} x {height} x {width} (channels, height, width), {dataset.classes} classes"
    if isinstance(dataset, OwnImages):
        yield from _table(dataset)
    yield f"Drawn at severity {dataset.severity:g}, data seed {dataset.data_seed}:"
    for name in SPLITS:
        yield f"  {name:9} {_counts(dataset, splits[name])}"
    yield "Masks (share of images that have one; smallest and largest share of pixels inside):"
    for name in SPLITS:
        yield f"  {name:9} {_coverage(splits[name], dataset.classes)}"
    yield from (f"Warning: {warning}" for warning in _warnings(dataset, splits))


def sample_panel(dataset: Dataset, split: Split, title: str) -> bytes:
    """PNG of a few images of a split, a row for each label and cue, with masks outlined in green."""
    rows, tiles = [], []
    for label, cue in sorted({(int(k), int(c)) for k, c in zip(split.labels, split.cues, strict=True)}):
        index = ((split.labels == label) & (split.cues == cue)).nonzero()[:SAMPLES, 0]
        arrays = {
            "s.images": split.images[index].numpy(),
            "s.masks": split.masks[index, 0].numpy(),
            "s.distractors": split.distractors[index, 0].numpy(),
        }
        shown = [tile(arrays, "s", i, "image") for i in range(len(index))]
        tiles.append(shown + [np.full((TILE, TILE, 3), 255, np.uint8)] * (SAMPLES - len(shown)))
        rows.append(f"{_label(dataset, label)}\n{_cue(dataset, cue)}")
    return labelled_grid(tiles, rows, [""] * SAMPLES, title)


def _table(dataset: OwnImages) -> Iterator[str]:
    rows, meaning = dataset.decoded().rows, dataset.meaning()
    subjects = {row.subject for row in rows if row.subject is not None}
    yield f"{len(rows)} rows, {f'{len(subjects)} subjects' if subjects else 'no column subject: each row is one'}"
    yield f"Labels: {', '.join(f'{label!r} is class {i}' for i, label in enumerate(meaning.labels))}"
    if meaning.groups is None:
        yield "No groups: the shift is the one between the splits, severity must be 1"
        return
    for group, cue in meaning.groups.items():
        counts = (sum(row.group == group and row.label == label for row in rows) for label in meaning.labels)
        cells = ", ".join(f"{n} {label}" for n, label in zip(counts, meaning.labels, strict=True))
        yield f"Group {group!r} goes with {meaning.labels[cue]!r} in training; it has {cells}"


def _counts(dataset: Dataset, split: Split) -> str:
    cells = []
    for label in range(dataset.classes):
        cues = torch.bincount(split.cues[split.labels == label] + 1, minlength=dataset.classes + 1).tolist()
        parts = [f"{n} {_cue(dataset, cue - 1)}" for cue, n in enumerate(cues) if n]
        cells.append(f"{int((split.labels == label).sum())} {_label(dataset, label)} ({', '.join(parts)})")
    return f"{len(split)} images: " + "; ".join(cells)


def _coverage(split: Split, classes: int) -> str:
    share = split.masks.flatten(1).float().mean(dim=1)
    parts = []
    for label in range(classes):
        of_label = share[split.labels == label]
        masked = of_label[of_label > 0]
        inside = f" ({masked.min():.1%} to {masked.max():.1%} inside)" if len(masked) else ""
        parts.append(f"class {label}: {len(masked) / max(len(of_label), 1):.0%}{inside}")
    return "; ".join(parts)


def _warnings(dataset: Dataset, splits: Mapping[str, Split]) -> Iterator[str]:
    brightest = max(split.images.max().item() for split in splits.values())
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
        masked = [bool(s.masks[s.labels == label].any()) for s in splits.values()]
        if not any(masked):
            yield f"class {label} has no masks at all, so that having a mask reveals the label (see --set empty_mask)"


def _shared(first: Split, second: Split) -> int:
    known = {sha256(image.numpy().tobytes()).digest() for image in first.images}
    return sum(sha256(image.numpy().tobytes()).digest() in known for image in second.images)


def _label(dataset: Dataset, label: int) -> str:
    return dataset.meaning().labels[label] if isinstance(dataset, OwnImages) else f"class {label}"


def _cue(dataset: Dataset, cue: int) -> str:
    if isinstance(dataset, OwnImages):
        return f"group {dataset.meaning().group_names()[cue]}" if cue >= 0 else "no group"
    return f"cue {cue}"
