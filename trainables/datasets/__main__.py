"""python -m trainables.datasets: checks that a dataset can be used, and describes it; or empties the cache."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from itertools import chain
from pathlib import Path
from textwrap import wrap
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from jaxtyping import Bool, Float
from rich.filesize import decimal
from torch import Tensor

from records.columns import SPLITS
from records.secrets import show
from records.storage import DEFAULT, default_location
from trainables.core.batch import parts
from trainables.core.config import parse_settings
from trainables.core.errors import ConfigurationError
from trainables.core.files import cache_folder, join, parent
from trainables.core.picture import labelled_grid, tile
from trainables.core.streams import PROCESSOR
from trainables.datasets import decoding, find_dataset
from trainables.datasets.dataset import Dataset, Split, load
from trainables.datasets.mapped import Mapped, batches
from trainables.datasets.own.images import OwnImages
from trainables.datasets.own.places import MASK_FOLDERS, SUFFIXES, Folder
from trainables.trial.resolve import resolve

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)
MARGIN, SAMPLES = 13, 6
"""Characters beside the rows of the picture, and its images for each label and cue."""
SHOWN, MANY, FEW = 5, 10, 400
"""Names in a line; fewest boxes that may be taken for corners; with fewer test images the standard error is > 0.025."""
LARGE, DARK = 0.7, 0.25
"""Share of an image that only inverted masks cover; brightest pixel if the range is wrong, as of 12 bits in 16."""


@app.command()
def check(
    name: Annotated[
        str | None, typer.Argument(help="A dataset: a name, folder:PATH or manifest:FILE.csv.", show_default=False)
    ] = None,
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
    clear: Annotated[
        bool,
        typer.Option("--clear", help="Remove the cached files of all datasets from this machine, and do nothing else."),
    ] = False,
) -> None:
    """Read the whole dataset, describe it, and write a picture of some images with their masks.

    Exit codes: 0 the dataset can be used; 2 it cannot, and the message names file and row.
    """
    if (name is None) != clear:
        needed = "--clear is for all datasets: leave out NAME" if clear else "give the NAME of a dataset, or --clear"
        show(f"{needed}, see --help", file=sys.stderr)
        raise typer.Exit(2)
    if name is None:
        show(clear_cache())
        return
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
        show(f"{name}: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    for line in (*describe(dataset, splits), *storage(dataset, splits)):
        show(line)
    panel = sample_panel(dataset, splits, f"{name}: images at severity {severity:g}")
    # The picture goes into the folder of the sweeps; if they are in a bucket, into sweeps/, which Git ignores.
    location = default_location()
    path = out or Path(DEFAULT if "://" in location else location).expanduser() / "dataset.png"
    try:
        if out is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(panel)
    except OSError as error:
        show(f"cannot write {path}: {error.strerror}; give --out FILE.png", file=sys.stderr)
        raise typer.Exit(2) from None
    show(f"Some images, masks in green: {path}")
    if isinstance(dataset, OwnImages):
        sets = [f"root={root}"] * (root is not None) + (assignments or []) + ["severity=1"] * (not dataset.knows_cues)
        arguments = [part for assignment in sets for part in ("--set", assignment)]
        command = ["python", "sweep.py", "--dataset", name, "--space", "own_data", *arguments, "--dry-run"]
        show(f"The data can be used. Next: {shlex.join(command)}")


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
    labels, cues = _names(dataset)
    yield f"Drawn at severity {dataset.severity:g}, data seed {dataset.data_seed}:{used}"
    for name in SPLITS:
        yield f"  {name:9} {_counts(splits[name], labels, cues)}"
    yield "Masks (share of images that have one; smallest and largest share of pixels inside):"
    surveys = {name: Survey.of(splits[name]) for name in SPLITS}
    for name in SPLITS:
        yield f"  {name:9} {_coverage(splits[name], surveys[name], labels)}"
    yield from (f"Warning: {warning}" for warning in _warnings(splits, surveys, labels))


def storage(dataset: Dataset, splits: Mapping[str, Split]) -> Iterator[str]:
    """The memory of a trial's images; and, if any are decoded, where they are, how large, and how long it took."""
    in_memory = decimal(sum(split.all_bytes for split in splits.values()))
    if isinstance(splits["train"].images, Mapped):
        yield f"A trial reads these images from disk, a batch at a time; in memory they would take {in_memory}"
    else:
        yield f"A trial holds these images in memory: {in_memory}"
    if folders := dataset.decoded_folders():
        took = timedelta(seconds=round(sum(map(decoding.seconds, folders))))
        yield (
            f"Decoded in {took} to {decimal(sum(map(decoding.size, folders)))} in {os.path.commonpath(folders)}; "
            "XDG_CACHE_HOME moves them, --clear removes them"
        )


def clear_cache() -> str:
    """Remove what is cached of all datasets; the message says how much that was."""
    folder = cache_folder("decoded").parent
    try:
        freed = decoding.clear_cache()
    except OSError as error:
        show(f"cannot remove {error.filename}: {error.strerror}; fix its permissions", file=sys.stderr)
        raise typer.Exit(2) from None
    removed = [f"{decimal(count)} of {decoding.KINDS[kind]}" for kind, count in freed.items() if count]
    return f"Removed {', '.join(removed) or 'nothing'} from {folder}"


def summary(dataset: OwnImages) -> Iterator[str]:
    """Lines on all rows of the table, whether or not a split has them."""
    decoded, meaning = dataset.decoded(), dataset.meaning()
    rows, stored = decoded.rows, decoded.stored
    subjects = {row.subject for row in rows if row.subject is not None}
    yield f"{len(rows)} rows, {f'{len(subjects)} subjects' if subjects else 'no column subject: each row is one'}"
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(stored.kind).most_common())
    sizes = sorted(set(zip(stored.width, stored.height, strict=True)), key=lambda size: (size[0] * size[1], size))
    first, last = (f"{width} x {height}" for width, height in (sizes[0], sizes[-1]))
    yield f"Files: {kinds}; {first if len(sizes) == 1 else f'{len(sizes)} sizes, {first} to {last}'} pixels"
    yield from dataset.notes() or ["Converted: nothing"]
    masked = decoded.masked
    for i, label in enumerate(meaning.class_names):
        of_label = meaning.labels == i
        maskless = np.flatnonzero(of_label & ~masked)
        names = [f"{rows[n].image} (row {rows[n].where.rpartition(' ')[2]})" for n in maskless]
        masks = f"{len(names)} with no mask or an empty one: {_first(names)}" if names else "all with a mask"
        if len(names) == of_label.sum():
            masks = "none with a mask"
        yield f"Label {label!r} is class {i}: {of_label.sum()} images, {masks}"
    files_rows, files = dataset.read(dataset.options)
    boxes = [box for row in files_rows if row.boxes_side is None for box in row.boxes]
    if len(boxes) >= MANY and all(box.width > box.x and box.height > box.y for box in boxes):
        yield (
            f"Warning: all {len(boxes)} boxes have a width above x and a height above y, as the corners x1 y1 x2 y2 "
            "have; boxes are 'x y width height', so look at the picture"
        )
    if isinstance(dataset, Folder):
        used = {location for row in files_rows for location in (row.image, row.mask) if location}
        folders = {*map(parent, used), *(join(dataset.place, kind) for kind in ("images", *MASK_FOLDERS))}
        present = {join(folder, name) for folder in folders for name in files.names(folder)}
        unused = sorted(name for name in present - used if name.lower().endswith(SUFFIXES))
        if unused:
            short = [name.removeprefix(f"{dataset.place}/") for name in unused]
            yield f"Not in use, as no row names them: {_first(short)}"
    if not meaning.groups:
        yield "No groups: the shift is the one between the splits, severity must be 1"
    for group, cue in meaning.groups.items():
        counts = Counter(row.label for row in rows if row.group == group)
        cells = ", ".join(f"{counts[label]} {label}" for label in meaning.class_names)
        yield f"Group {group!r} goes with {meaning.class_names[cue]!r} in training; it has {cells}"


def _first(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _names(dataset: Dataset) -> tuple[Sequence[str], list[str]]:
    """The name of each label, and of each cue; the last one is that of the cue -1."""
    if isinstance(dataset, OwnImages):
        meaning = dataset.meaning()
        return meaning.class_names, [f"group {group}" for group in meaning.group_names()] + ["no group"]
    return [f"class {i}" for i in range(dataset.classes)], [f"cue {i}" for i in (*range(dataset.classes), -1)]


def sample_panel(dataset: Dataset, splits: Mapping[str, Split], title: str) -> bytes:
    """PNG of a few images of train and test_ood, a row for each label and cue, with masks outlined in green."""
    rows, tiles = [], []
    labels, cues = _names(dataset)
    for name in ("train", "test_ood"):
        split = splits[name]
        for label, cue in sorted(set(zip(split.labels.tolist(), split.cues.tolist(), strict=True))):
            index = ((split.labels == label) & (split.cues == cue)).nonzero()[:SAMPLES, 0]
            arrays = {
                "s.images": split.displayed(split.images[index]).numpy(),
                "s.masks": split.masks[index][:, 0].numpy(),
                "s.distractors": split.distractors[index][:, 0].numpy(),
            }
            shown = [tile(arrays, "s", i, "image") for i in range(len(index))]
            tiles.append(shown + [np.full_like(shown[0], 255)] * (SAMPLES - len(shown)))
            rows.append("\n".join(line for text in (name, labels[label], cues[cue]) for line in wrap(text, MARGIN)))
    return labelled_grid(tiles, rows, [""] * SAMPLES, title)


def _counts(split: Split, labels: Sequence[str], cues: Sequence[str]) -> str:
    cells = []
    for label, text in enumerate(labels):
        of_label = sorted(Counter(split.cues[split.labels == label].tolist()).items())
        counts = ", ".join(f"{n} {cues[cue]}" for cue, n in of_label)
        cells.append(f"{sum(n for _, n in of_label)} {text} ({counts})")
    return f"{len(split)} images: " + "; ".join(cells)


class Survey(NamedTuple):
    """What is said of each image of a split."""

    brightest: Float[Tensor, " images"]
    """Its brightest pixel, 1 being white."""
    constant: Bool[Tensor, " images"]
    covered: Float[Tensor, " images"]
    """Share of its pixels inside the mask."""
    digests: list[bytes]

    @classmethod
    def of(cls, split: Split) -> "Survey":
        shape, several = split.images.shape, []
        for images, masks in batches((split.images, split.masks), parts(len(split), shape, PROCESSOR), PROCESSOR):
            brightest = images.amax(dim=(1, 2, 3))
            constant = brightest == images.amin(dim=(1, 2, 3))
            digests = [sha256(image.numpy().tobytes()).digest() for image in images]
            covered = masks.flatten(1).float().mean(dim=1)
            several.append(cls(split.displayed(brightest), constant, covered, digests))
        return cls(
            torch.cat([part.brightest for part in several]),
            torch.cat([part.constant for part in several]),
            torch.cat([part.covered for part in several]),
            list(chain(*(part.digests for part in several))),
        )


def _coverage(split: Split, survey: Survey, labels: Sequence[str]) -> str:
    texts = []
    for label, text in enumerate(labels):
        of_label = survey.covered[split.labels == label]
        masked = of_label[of_label > 0]
        inside = f" ({masked.min():.1%} to {masked.max():.1%} inside)" if len(masked) else ""
        texts.append(f"{text}: {len(masked) / max(len(of_label), 1):.0%}{inside}")
    return "; ".join(texts)


def _warnings(splits: Mapping[str, Split], surveys: Mapping[str, Survey], labels: Sequence[str]) -> Iterator[str]:
    brightest = max(survey.brightest.max().item() for survey in surveys.values())
    if brightest < DARK:
        yield f"the brightest pixel is {brightest:.3f} of white; set pixel_range=LOW:HIGH or pixel_range=image"
    tested = len(splits["test_ood"])
    if tested < FEW:
        yield f"test_ood has {tested} images, so an accuracy has a standard error of up to {0.5 / tested**0.5:.2f}"
    if constant := sum(int(survey.constant.sum()) for survey in surveys.values()):
        yield f"{constant} images are constant"
    trained_on = set(surveys["train"].digests)
    for pool in ("valid", "test"):
        shared = sum(image in trained_on for kind in ("id", "ood") for image in surveys[f"{pool}_{kind}"].digests)
        if shared:
            yield f"{shared} {pool} images are identical to training images"
    for label, text in enumerate(labels):
        if not any(split.masked[split.labels == label].any() for split in splits.values()):
            yield f"{text} has no masks at all, so that having a mask reveals the label (see --set empty_mask)"
    covered = torch.cat([survey.covered for survey in surveys.values()])
    if (covered > 0).any() and (median := covered[covered > 0].median().item()) > LARGE:
        yield f"masks cover {median:.0%} of an image (median); check that they are 0 outside, not inside"


if __name__ == "__main__":
    app()
