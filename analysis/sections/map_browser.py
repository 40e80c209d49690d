"""The map browser of report.html: thumbnails of the maps that trials kept, as many as fit into the page."""

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from analysis.answer.answer import Analysis
from analysis.numbers import count, name
from analysis.sections.kept_maps import KeptMap, read_maps, strongest
from analysis.sections.page_trials import MOST, page_rows
from analysis.sections.section import Lack, Section
from analysis.trials.trials import Primary, Trials
from records import StorageError

TITLE = "The maps of every trial"
ROOM = 1_200_000
"""Characters of report.html for thumbnails; a report of 3,000 trials then stays below 5 MB."""
SIDE, PICTURE_SIDE = 64, 128
"""Longest side in pixels of a map's and of an image's thumbnail; larger ones are averaged over blocks."""
READERS = 8
"""Number of trials read at a time, since storage may be slow."""
_OTHERS = 36
"""Characters of a tile in the page apart from its map."""


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
    """One image with one trial's map; None for what an older trial did not keep."""

    trial: int
    """The trial's row of the table of `page_rows`."""
    rank: int
    """The image's position among those that the trial kept."""
    index: int | None
    """The image's position in the split."""
    score: float | None
    label: str
    predicted: str | None
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

    def tiles_for(trial: int) -> list[Tile]:
        return tiles_of(read_maps(records, str(table["trial_key"].iloc[trial]), primary), trial)

    try:
        with ThreadPoolExecutor(READERS) as pool:
            tiles = list(pool.map(tiles_for, range(len(table))))
    except StorageError as error:
        return Browser(lacks=((f"“{TITLE}”", f"they could not be read: {error}"),))
    everything = [tile for of_trial in tiles for tile in of_trial]
    return Browser(tuple(within(ROOM, everything, table)), len(everything), sum(map(bool, tiles)))


def tiles_of(maps: Sequence[KeptMap], trial: int) -> list[Tile]:
    """A tile for each image that a trial kept."""
    if not maps:
        return []
    images = shrunk([kept.image for kept in maps], PICTURE_SIDE)
    mask, cue = shrunk([kept.mask for kept in maps], SIDE), shrunk([kept.distractor for kept in maps], SIDE)
    drawn = [""] * len(maps)
    if regions := [kept.region for kept in maps if kept.region is not None]:
        # The blocks that the region covers most: scattered pixels may cover most blocks a little and none by half.
        n_blocks = np.rint(mask.sum(axis=(1, 2))).astype(np.intp)
        drawn = list(map(bits, strongest(shrunk(regions, SIDE), n_blocks, ties=True)))
    tiles = []
    for rank, (kept, image, region, other) in enumerate(zip(maps, images, mostly(mask), mostly(cue), strict=True)):
        pixels = webp(np.rint(image * 255).astype(np.uint8).tobytes(), image.shape)
        picture = Picture(pixels, region.shape, bits(region), bits(other) if other.any() else "")
        answer = kept.label, kept.predicted, kept.correct
        tiles.append(Tile(trial, rank, kept.index, kept.score, *answer, picture, drawn[rank]))
    return tiles


def within(room: int, tiles: Sequence[Tile], table: pd.DataFrame) -> list[Tile]:
    """The tiles that fit into this many characters, in the order of trials and images.

    The best and the worst map of each cell come first, then the first image of every trial, the second, and so on.
    Within an image, trials on the first data seed come first, so that all methods are shown on the same data seeds.
    """
    cells = table.groupby(["dataset", "severity", "method"], sort=False).ngroup().to_numpy()
    data_seeds = table["data_seed"].to_numpy()
    scores = pd.Series([tile.score for tile in tiles], dtype=float)
    by_cell = scores.dropna().groupby(lambda i: cells[tiles[i].trial])
    first = {*by_cell.idxmax(), *by_cell.idxmin()}

    def place(i: int) -> tuple[bool, int, Any, int]:
        return i not in first, tiles[i].rank, data_seeds[tiles[i].trial], tiles[i].trial

    pictures: set[Picture] = set()
    chosen = []
    for tile in (tiles[i] for i in sorted(range(len(tiles)), key=place)):
        room -= len(tile.map) + _OTHERS + (0 if tile.picture in pictures else tile.picture.size)
        if room < 0:
            break
        pictures.add(tile.picture)
        chosen.append(tile)
    return sorted(chosen, key=lambda tile: (tile.trial, tile.rank))


def shrunk(several: Sequence[np.ndarray], side: int) -> NDArray[np.float64]:
    """[N, H, W] or [N, H, W, 3]: means over square blocks, the smallest for which no side is longer than `side`."""
    images = np.stack(several).astype(np.float64)
    block = -(-max(images.shape[1:3]) // side)
    for axis in (1, 2):
        starts = np.arange(0, images.shape[axis], block)
        sizes = np.diff([*starts, images.shape[axis]])
        sums = np.add.reduceat(images, starts, axis=axis)
        images = sums / np.expand_dims(sizes, tuple(i for i in range(images.ndim) if i != axis))
    return images


def mostly(share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N, H, W] the blocks that a region covers at least by half, or if there are none, all that it touches."""
    half = share >= 0.5
    return np.asarray(np.where(half.any(axis=(1, 2), keepdims=True), half, share > 0))


def bits(region: NDArray[np.bool_]) -> str:
    """The pixels row by row in base64, eight per byte, the first in the highest bit."""
    return base64.b64encode(np.packbits(region).tobytes()).decode()


@cache  # trials on one data seed have the same images
def webp(pixels: bytes, shape: tuple[int, ...]) -> str:
    """An image as WebP in base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape)).save(buffer, "webp", quality=60)
    return base64.b64encode(buffer.getvalue()).decode()


def page_data(browser: Browser, primary: Primary) -> dict[str, Any] | None:
    """The tiles as columns, and each picture once; None without tiles."""
    if not browser.tiles:
        return None
    tiles: dict[str, Sequence[Any]] = {
        field.name: [getattr(tile, field.name) for tile in browser.tiles] for field in fields(Tile)
    }
    words = [word for pair in zip(tiles["label"], tiles["predicted"], strict=True) for word in pair]
    classes, pictures = (
        list(dict.fromkeys(x for x in values if x is not None)) for values in (words, tiles["picture"])
    )
    places = {value: place for known in (classes, pictures) for place, value in enumerate(known)}
    tiles |= {key: [places.get(value) for value in tiles[key]] for key in ("label", "predicted", "picture")}
    tiles["score"] = [None if score is None else round(score, 3) for score in tiles["score"]]
    tiles["correct"] = [None if correct is None else int(correct) for correct in tiles["correct"]]
    return {"metric": name(primary.metric), "classes": classes, "tiles": tiles, "pictures": list(map(vars, pictures))}


def _sentence(analysis: Analysis, result: Callable[[], Browser]) -> str:
    browser, primary, n_all = result(), analysis.primary, len(analysis.trials.table)
    if not browser.tiles:
        return ""
    n_left_out = browser.n_kept - len(browser.tiles)
    without_any = browser.n_trials - len({tile.trial for tile in browser.tiles})
    without_maps = min(n_all, MOST) - browser.n_trials
    unknown = sum(not tile.map for tile in browser.tiles)
    shown = f"{len(browser.tiles):,} of the" if n_left_out else "all"
    among = f", among them all maps of {count(without_any, 'trial')}" if without_any else ""
    sentences = {
        f"report.html has {shown} {count(browser.n_kept, 'map')} of {name(primary.attribution)} on "
        f"{name(primary.split)} images that {count(browser.n_trials, 'trial')} kept, as thumbnails of at most {SIDE} "
        "pixels a side. All attributions at full size are in the sweep’s artifacts/ folder under the trial key: in "
        "maps.npz and in saliency.png, which the page shows if it is in the sweep’s report/ folder.": True,
        f"{count(n_left_out, 'map is', 'maps are')} left out to keep the page small{among}.": n_left_out,
        f"The page has the {MOST:,} trials of the first data seeds, out of {n_all:,}.": n_all > MOST,
        f"{count(without_maps, 'trial')} kept no maps that can be read.": without_maps,
        f"The scored pixels of {count(unknown, 'map')} are not known and not drawn.": unknown,
    }
    return " ".join(sentence for sentence, applies in sentences.items() if applies)


SECTION: Section[Callable[[], Browser]] = Section(
    key="map_browser",
    title=TITLE,
    compute=lambda analysis: cache(lambda: browser_of(analysis.trials, analysis.primary)),
    content=lambda result: {},
    sentence=_sentence,
    interactive=lambda analysis, result: page_data(result(), analysis.primary),
    missing=lambda analysis, result: result().lacks,
)
