"""The map browser of report.html: thumbnails of the maps that trials kept, as many as fit into the page."""

import base64
import io
from collections.abc import Callable, Sequence
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
from analysis.sections.kept_maps import TrialMaps, read_maps
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
    """The trial's position in the page: its row of the table of `page_rows`."""
    rank: int
    """The image's position among those that the trial kept; trials on one data seed have the same images."""
    index: int | None
    """The image's position in the split."""
    score: float | None
    label: str
    """The image's class."""
    predicted: str | None
    """The class that the model predicts."""
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
        maps = read_maps(records, str(table["trial_key"].iloc[trial]), primary)
        return [] if maps is None else tiles_of(maps, trial)

    try:
        with ThreadPoolExecutor(READERS) as pool:
            tiles = list(pool.map(tiles_for, range(len(table))))
    except StorageError as error:
        return Browser(lacks=((f"“{TITLE}”", f"they could not be read: {error}"),))
    everything = [tile for of_trial in tiles for tile in of_trial]
    return Browser(tuple(within(ROOM, everything, table)), len(everything), sum(map(bool, tiles)))


def tiles_of(maps: TrialMaps, trial: int) -> list[Tile]:
    """A tile for each image that a trial kept."""
    mask, distractor = (shrunk(regions.astype(np.float64), SIDE) for regions in (maps.masks, maps.distractors))
    images, masks, distractors = shrunk(maps.images, PICTURE_SIDE), mostly(mask), mostly(distractor)
    shown = None
    if maps.regions is not None:
        n_blocks = np.rint(mask.sum(axis=(1, 2))).astype(np.intp)
        shown = fullest(shrunk(maps.regions.astype(np.float64), SIDE), n_blocks)
    return [
        Tile(
            trial=trial,
            rank=rank,
            index=None if maps.index is None else int(maps.index[rank]),
            score=None if np.isnan(maps.scores[rank]) else float(maps.scores[rank]),
            label=str(maps.labels[rank]),
            predicted=None if maps.predicted is None else str(maps.predicted[rank]),
            correct=None if maps.correct is None else bool(maps.correct[rank]),
            picture=Picture(
                image=webp(images[rank]),
                shape=(masks.shape[1], masks.shape[2]),
                mask=bits(masks[rank]),
                distractor=bits(distractors[rank]) if distractors[rank].any() else "",
            ),
            map="" if shown is None else bits(shown[rank]),
        )
        for rank in range(len(images))
    ]


def within(room: int, tiles: Sequence[Tile], table: pd.DataFrame) -> list[Tile]:
    """The tiles that fit into this many characters, in the order of trials and images.

    The best and the worst map of each cell come first, then the first image of every trial, the second, and so on.
    Within an image, trials on the first data seed come first, so that all methods are shown on the same data seeds.
    """
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
    """[N, H, W] the n blocks of each image that a region covers most; with ties for the last place, without empty ones.

    Scattered pixels may cover most blocks a little and none by half.
    """
    ordered = np.sort(share.reshape(len(share), -1), axis=1)[:, ::-1]
    last = np.take_along_axis(ordered, np.maximum(n - 1, 0)[:, None], axis=1)
    return np.asarray((share >= last[:, :, None]) & (share > 0))


def mostly(share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N, H, W] the blocks that a region covers at least by half, or if there are none, all that it touches."""
    half = share >= 0.5
    return np.asarray(np.where(half.any(axis=(1, 2), keepdims=True), half, share > 0))


def bits(region: NDArray[np.bool_]) -> str:
    """The pixels row by row in base64, eight per byte, the first in the highest bit."""
    return base64.b64encode(np.packbits(region).tobytes()).decode()


def webp(image: NDArray[np.float64]) -> str:
    """[H, W] or [H, W, 3] in 0..1, in base64."""
    return _webp(np.rint(image * 255).astype(np.uint8).tobytes(), image.shape)


@cache
def _webp(pixels: bytes, shape: tuple[int, ...]) -> str:
    """Cached, since trials on one data seed have the same images."""
    buffer = io.BytesIO()
    Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape)).save(buffer, "webp", quality=60)
    return base64.b64encode(buffer.getvalue()).decode()


def page_data(browser: Browser, primary: Primary) -> dict[str, Any] | None:
    """The tiles as columns, and each picture once; None without tiles."""
    if not browser.tiles:
        return None
    tiles = browser.tiles
    pictures = {picture: position for position, picture in enumerate(dict.fromkeys(tile.picture for tile in tiles))}
    words = [word for tile in tiles for word in (tile.label, tile.predicted) if word is not None]
    classes = {word: position for position, word in enumerate(dict.fromkeys(words))}
    columns: dict[str, Sequence[Any]] = {
        **{key: [getattr(tile, key) for tile in tiles] for key in ("trial", "rank", "index", "map")},
        "score": [None if tile.score is None else round(tile.score, 3) for tile in tiles],
        "label": [classes[tile.label] for tile in tiles],
        "predicted": [None if tile.predicted is None else classes[tile.predicted] for tile in tiles],
        "correct": [None if tile.correct is None else int(tile.correct) for tile in tiles],
        "picture": [pictures[tile.picture] for tile in tiles],
    }
    return {
        "metric": name(primary.metric),
        "classes": list(classes),
        "tiles": columns,
        "pictures": list(map(vars, pictures)),
    }


def _sentence(analysis: Analysis, result: Callable[[], Browser]) -> str:
    browser, primary = result(), analysis.primary
    n, n_all = len(browser.tiles), len(analysis.trials.table)
    if not n:
        return ""
    kept, n_left_out = count(browser.n_kept, "map"), browser.n_kept - n
    without_any = browser.n_trials - len({tile.trial for tile in browser.tiles})
    without = min(n_all, MOST) - browser.n_trials
    unknown = sum(not tile.map for tile in browser.tiles)
    sentences = [
        f"report.html has {f'{n:,} of the {kept}' if n_left_out else f'all {kept}'} of {name(primary.attribution)} on "
        f"{name(primary.split)} images that {count(browser.n_trials, 'trial')} kept, as thumbnails of at most {SIDE} "
        "pixels a side.",
        f"{count(n_left_out, 'map is', 'maps are')} left out to keep the page small"
        + (f", among them all maps of {count(without_any, 'trial')}." if without_any else ".")
        if n_left_out
        else "",
        f"The page has the {MOST:,} trials of the first data seeds, out of {n_all:,}." if n_all > MOST else "",
        "All attributions at full size are in saliency.png and maps.npz, in the sweep’s artifacts/ folder under the "
        "trial key. The page shows saliency.png if the page is in the sweep’s report/ folder.",
        f"{count(without, 'trial')} kept no maps that can be read." if without else "",
        f"The scored pixels of {count(unknown, 'map')} are not known; the page shows those images without them."
        if unknown
        else "",
    ]
    return " ".join(filter(None, sentences))


SECTION: Section[Callable[[], Browser]] = Section(
    key="map_browser",
    title=TITLE,
    compute=lambda analysis: cache(lambda: browser_of(analysis.trials, analysis.primary)),
    content=lambda result: {},
    sentence=_sentence,
    interactive=lambda analysis, result: page_data(result(), analysis.primary),
    missing=lambda analysis, result: result().lacks,
)
