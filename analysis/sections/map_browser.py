"""The map browser of report.html: thumbnails of the trials' kept maps, as many as the page has room for."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from analysis.answer.answer import Analysis
from analysis.numbers import count, name
from analysis.sections.map_sheets import class_words, displayed, read_maps
from analysis.sections.page_trials import MOST, page_rows
from analysis.sections.section import Lack, Section
from analysis.trials.trials import Primary, Trials
from records import StorageError, SweepRecords

TITLE = "The maps of every trial"
ROOM = 1_200_000
"""Characters of report.html that thumbnails may take, which holds a report of 3,000 trials below 5 MB."""
SIDE, PICTURE_SIDE = 64, 128
"""Longest side of a map's thumbnail and of an image's, in pixels; what is larger is averaged over blocks."""
READERS = 8
"""Number of trials read at a time, since storage may be far away."""
_OTHERS = 36
"""Characters that a tile takes in the page beside its map."""


@dataclass(frozen=True)
class Picture:
    """An image with its regions, which several trials share."""

    image: str
    """WebP in base64."""
    shape: tuple[int, int]
    """(rows, columns) of the regions and of the maps drawn over the image."""
    mask: str
    """Bits in base64, row by row, as for `Tile.map`."""
    distractor: str

    @property
    def size(self) -> int:
        return len(self.image) + len(self.mask) + len(self.distractor) + _OTHERS


@dataclass(frozen=True)
class Tile:
    """One image as one trial's model sees it."""

    trial: int
    """The trial's place in the page: its row of the table of `page_rows`."""
    rank: int
    """The image's place among those that the trial kept; equal places of one data seed are one image."""
    index: int | None
    """The image's place in the split; None where the trial did not keep it."""
    score: float | None
    label: str
    """The image's class."""
    predicted: str | None
    """The class that the model predicts; None where an older trial kept only whether it is right."""
    correct: bool | None
    picture: Picture
    map: str
    """The pixels of the map that IoU compares with the mask: bits in base64, row by row; "" if they are not known."""


@dataclass(frozen=True)
class Browser:
    """The tiles in the page, and how many there are."""

    tiles: tuple[Tile, ...] = ()
    n_kept: int = 0
    """Maps that the trials kept, in the page or not."""
    n_trials: int = 0
    """Trials with maps, of those in the page."""
    lacks: tuple[Lack, ...] = ()


def browser_of(trials: Trials, primary: Primary) -> Browser:
    """Read the primary's maps of the trials in the page, and choose those that it shows."""
    records, table = trials.records, trials.table.iloc[page_rows(trials.table)]
    if records is None or "trial_key" not in table:
        return Browser()
    try:
        with ThreadPoolExecutor(READERS) as pool:
            read = list(pool.map(lambda row: tiles_of(records, table, row, primary), range(len(table))))
    except StorageError as error:
        return Browser(lacks=((f"“{TITLE}”", f"they could not be read: {error}"),))
    tiles = [tile for of_trial in read for tile in of_trial]
    return Browser(tuple(within(ROOM, tiles, table)), len(tiles), sum(map(bool, read)))


def tiles_of(records: SweepRecords, table: pd.DataFrame, row: int, primary: Primary) -> list[Tile]:
    """All kept maps of the trial in this row of the table; none where they cannot be read."""
    arrays = read_maps(records, str(table["trial_key"].iloc[row]), primary)
    if arrays is None:
        return []
    shares = [shrunk(arrays[part].astype(np.float64), SIDE) for part in ("masks", "distractors")]
    regions = [mostly(share) for share in shares]
    images = shrunk(displayed(arrays["images"]), PICTURE_SIDE)
    shown = None
    if "region" in arrays:
        scored = shrunk(arrays["region"].astype(np.float64), SIDE)
        shown = fullest(scored, np.rint(shares[0].sum(axis=(1, 2))).astype(np.intp))
    labels = class_words(arrays, arrays["labels"])
    predicted = class_words(arrays, arrays["predicted"]) if "predicted" in arrays else None

    def optional(key: str, rank: int, kind: Callable[[Any], Any]) -> Any:
        value = arrays[key][rank] if key in arrays else None
        return None if value is None or np.isnan(value) else kind(value)

    return [
        Tile(
            trial=row,
            rank=rank,
            index=optional("index", rank, int),
            score=optional("scores", rank, float),
            label=labels[rank],
            predicted=None if predicted is None else predicted[rank],
            correct=optional("correct", rank, bool),
            picture=Picture(
                image=webp(images[rank]),
                shape=(regions[0].shape[1], regions[0].shape[2]),
                mask=bits(regions[0][rank]),
                distractor=bits(regions[1][rank]) if regions[1][rank].any() else "",
            ),
            map="" if shown is None else bits(shown[rank]),
        )
        for rank in range(len(images))
    ]


def within(room: int, tiles: Iterable[Tile], table: pd.DataFrame) -> list[Tile]:
    """The tiles that fit into so many characters, in the order of trials and images.

    First come the best and the worst map of each cell, then the first image of every trial, then the second, and so on;
    of one image the trials of the first data seed first, so that what is shown of a data seed is shown of all methods.
    """
    tiles = list(tiles)
    cells = table.groupby(["dataset", "severity", "method"], sort=False).ngroup().to_numpy()
    data_seeds = table["data_seed"].to_numpy()
    scored: dict[int, list[Tile]] = {}
    for tile in tiles:
        if tile.score is not None:
            scored.setdefault(int(cells[tile.trial]), []).append(tile)
    extremes = [end(own, key=lambda tile: tile.score or 0.0) for own in scored.values() for end in (max, min)]
    first = {(tile.trial, tile.rank) for tile in extremes}
    order = sorted(tiles, key=lambda t: ((t.trial, t.rank) not in first, t.rank, data_seeds[t.trial], t.trial))
    pictures: set[Picture] = set()
    chosen = []
    for tile in order:
        room -= len(tile.map) + _OTHERS + (0 if tile.picture in pictures else tile.picture.size)
        if room < 0:
            break
        pictures.add(tile.picture)
        chosen.append(tile)
    return sorted(chosen, key=lambda tile: (tile.trial, tile.rank))


def shrunk(images: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """[N, H, W] or [N, H, W, 3]: means over square blocks, the smallest for which no side is longer than `side`."""
    block = -(-max(images.shape[1:3]) // side)
    for axis in (1, 2):
        starts = np.arange(0, images.shape[axis], block)
        sizes = np.diff([*starts, images.shape[axis]])
        sums = np.add.reduceat(images, starts, axis=axis)
        images = sums / np.expand_dims(sizes, tuple(i for i in range(images.ndim) if i != axis))
    return images


def fullest(share: NDArray[np.float64], n: NDArray[np.intp]) -> NDArray[np.bool_]:
    """[N, H, W] the n blocks of each image that a region covers most; ties with the last count too, empty ones never.

    Scattered pixels may cover no block by half, and yet most blocks a little.
    """
    ordered = np.sort(share.reshape(len(share), -1), axis=1)[:, ::-1]
    last = np.take_along_axis(ordered, np.maximum(n - 1, 0)[:, None], axis=1)
    return np.asarray((share >= last[:, :, None]) & (share > 0))


def mostly(share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N, H, W] where a region covers at least half of a block; of a region that nowhere does, wherever it is."""
    half = share >= 0.5
    return np.asarray(np.where(half.any(axis=(1, 2), keepdims=True), half, share > 0))


def bits(region: NDArray[np.bool_]) -> str:
    """Its pixels row by row, eight a byte with the first one highest, in base64."""
    return base64.b64encode(np.packbits(region).tobytes()).decode()


def webp(image: NDArray[np.float64]) -> str:
    """[H, W] or [H, W, 3] in 0..1, in base64."""
    return _webp(np.rint(image * 255).astype(np.uint8).tobytes(), image.shape)


@cache
def _webp(pixels: bytes, shape: tuple[int, ...]) -> str:
    """Kept, since the trials of a data seed show the same images."""
    buffer = io.BytesIO()
    Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape)).save(buffer, "webp", quality=60)
    return base64.b64encode(buffer.getvalue()).decode()


def page_data(browser: Browser, primary: Primary) -> dict[str, Any] | None:
    """Its tiles as columns, and each picture once."""
    if not browser.tiles:
        return None
    places = {picture: place for place, picture in enumerate(dict.fromkeys(tile.picture for tile in browser.tiles))}
    words = [word for tile in browser.tiles for word in (tile.label, tile.predicted) if word is not None]
    classes = list(dict.fromkeys(words))
    columns: dict[str, Sequence[Any]] = {
        "trial": [tile.trial for tile in browser.tiles],
        "rank": [tile.rank for tile in browser.tiles],
        "index": [tile.index for tile in browser.tiles],
        "score": [None if tile.score is None else round(tile.score, 3) for tile in browser.tiles],
        "label": [classes.index(tile.label) for tile in browser.tiles],
        "predicted": [None if tile.predicted is None else classes.index(tile.predicted) for tile in browser.tiles],
        "correct": [None if tile.correct is None else int(tile.correct) for tile in browser.tiles],
        "picture": [places[tile.picture] for tile in browser.tiles],
        "map": [tile.map for tile in browser.tiles],
    }
    return {
        "metric": name(primary.metric),
        "classes": classes,
        "tiles": columns,
        "pictures": [vars(picture) for picture in places],
    }


def _sentence(analysis: Analysis, result: Callable[[], Browser]) -> str:
    browser, primary = result(), analysis.primary
    if not browser.tiles:
        return ""
    n, n_shown = len(browser.tiles), len({tile.trial for tile in browser.tiles})
    kept = count(browser.n_kept, "map")
    holds = f"all {kept}" if n == browser.n_kept else f"{n:,} of the {kept}"
    without_any = browser.n_trials - n_shown
    left_out = f"{count(browser.n_kept - n, 'map')} had to be left out to keep the page small" + (
        f", among them all of {count(without_any, 'trial')}." if without_any else "."
    )
    n_all = len(analysis.trials.table)
    without = min(n_all, MOST) - browser.n_trials
    unknown = sum(not tile.map for tile in browser.tiles)
    sentences = [
        f"report.html holds {holds} of {name(primary.attribution)} on {name(primary.split)} images that "
        f"{count(browser.n_trials, 'trial')} kept, in thumbnails of at most {SIDE} pixels a side.",
        left_out if n < browser.n_kept else "",
        f"Of the {n_all:,} trials the page has the {MOST:,} of the first data seeds." if n_all > MOST else "",
        "Each trial’s own maps, of all attributions and at full size, are saliency.png and maps.npz in the sweep’s "
        "artifacts/ under its trial key; the page shows the picture where it lies in the sweep’s report/ folder.",
        f"{count(without, 'trial')} kept none that can be read." if without else "",
        f"The scored pixels of {count(unknown, 'map')} are not known; the page shows the images without them."
        if unknown
        else "",
    ]
    return " ".join(filter(None, sentences))


def _compute(analysis: Analysis) -> Callable[[], Browser]:
    return cache(lambda: browser_of(analysis.trials, analysis.primary))


SECTION = Section(
    key="map_browser",
    title=TITLE,
    compute=_compute,
    content=lambda result: {},
    sentence=_sentence,
    interactive=lambda analysis, result: page_data(result(), analysis.primary),
    missing=lambda analysis, result: result().lacks,
)
