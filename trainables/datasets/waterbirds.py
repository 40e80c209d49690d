"""Waterbirds: birds of CUB-200-2011 over land or water of Places, both read from disk."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from pydantic import Field

from trainables.core.config import Options
from trainables.core.errors import ConfigurationError
from trainables.core.files import Root, check_unchanged
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import DrawnCueDataset, Labels, Split, split_from_arrays

SEABIRDS = "albatross auklet cormorant frigatebird fulmar gull jaeger kittiwake pelican puffin tern"
WATERFOWL = "gadwall grebe mallard merganser guillemot loon"
WATER_BIRDS = frozenset(f"{SEABIRDS} {WATERFOWL}".split())
"""Last words of the names of water birds' species; all others are land birds."""
PLACES = {"land": ("b/bamboo_forest", "f/forest/broadleaf"), "water": ("o/ocean", "l/lake/natural")}
"""The folders of Places365 for each background, in the order of the cues 0 and 1."""
LAYOUT = (
    "root must hold CUB_200_2011/ (images.txt, train_test_split.txt, images/), segmentations/ "
    f"(CUB's masks) and places365/ ({', '.join(chain(*PLACES.values()))})"
)

Pixels = Float[np.ndarray, "3 side side"]


class WaterbirdsOptions(Options):
    root: Root = Field("", description=f"folder with the images; {LAYOUT}")
    image_size: int = Field(64, ge=8, le=512, description="side of an image in pixels")
    n_train: int = Field(2000, ge=4, multiple_of=2, description="training images, half of them water birds")
    n_valid: int = Field(500, ge=4, multiple_of=2, description="validation images")
    n_test: int = Field(2000, ge=4, multiple_of=2, description="test images")
    content: str = Field("", description="digest of CUB's lists and the names of the places; computed from the files")


@dataclass(frozen=True)
class Bird:
    """One image of CUB: its path below CUB_200_2011/images, 1 for a water bird, and whether CUB trains on it."""

    name: str
    label: int
    training: bool


PlacedBird = tuple[Bird, Path, Path]
"""A bird and its two places, one of each kind, in the order of the cues."""


class Waterbirds(DrawnCueDataset[list[PlacedBird]]):
    """Colour images in [0, 1]: a land bird (0) or a water bird (1) over land (cue 0) or water (cue 1).

    The mask is the bird (according to at least half of CUB's annotators), the distractor mask everything else. Test
    birds are CUB's test images; the data seed deals CUB's training images to train and valid, draws as many birds of
    each label, and gives every bird a place of each kind that no other bird has. Severity 0.9 has the source's training
    agreement, .95.

    An image is a square around the bird, as wide as the image's shorter side; a place is cropped to its central square.
    A trial's key has, in place of the root, a digest of CUB's lists and of the names of the places' files, as the
    images of both sets are published and do not change.

    Source: Sagawa et al., ICLR 2020, arXiv 1911.08731.
    """

    Options = WaterbirdsOptions
    options: WaterbirdsOptions
    stream = "waterbirds"
    contract_cases = ({"image_size": 20, "n_train": 16, "n_valid": 8, "n_test": 8},)

    @classmethod
    def complete(cls, options: Any) -> Any:
        return options if options.content else options.model_copy(update={"content": _digest(_root(options))})

    def check(self) -> None:
        root = _root(self.options)
        for objects, _ in self.parts().values():
            for bird, *places in objects:
                _bird_files(root, bird.name)
                for path in places:
                    _size(path)

    def parts(self) -> Mapping[str, tuple[list[PlacedBird], Labels]]:
        sizes = {"train": self.options.n_train, "valid": self.options.n_valid, "test": self.options.n_test}
        root = _root(self.options)
        check_unchanged(_digest(root), self.options.content, str(root))
        birds: dict[str, list[Bird]] = {part: [] for part in sizes}
        rng, listed = numpy_stream("waterbirds birds", self.data_seed), read_birds(root)
        for label, kind in enumerate(PLACES):
            for training, parts in ((True, ("train", "valid")), (False, ("test",))):
                candidates = [bird for bird in listed if (bird.label, bird.training) == (label, training)]
                halves = {part: sizes[part] // 2 for part in parts}
                for part, dealt in _dealt(candidates, halves, rng, f"{kind} birds for {' and '.join(parts)}").items():
                    birds[part] += dealt
        rng, places = numpy_stream("waterbirds places", self.data_seed), []
        for kind, folders in PLACES.items():
            files = [path for folder in folders for path in _places(root, folder)]
            places.append(_dealt(files, sizes, rng, f"places of {kind}, one for each bird"))
        land, water = places
        return {
            part: (list(zip(chosen, land[part], water[part], strict=True)), np.array([bird.label for bird in chosen]))
            for part, chosen in birds.items()
        }

    def with_cues(self, part: str, objects: list[PlacedBird], labels: Labels, cues: Labels) -> Split:
        root, side = _root(self.options), self.options.image_size
        images = np.empty((len(labels), 3, side, side), dtype=np.float32)
        masks = np.empty((len(labels), side, side), dtype=bool)
        for i, ((bird, *places), cue) in enumerate(zip(objects, cues, strict=True)):
            pixels, masks[i] = read_bird(root, bird.name, side)
            images[i] = np.where(masks[i], pixels, read_place(places[cue], side))
        return split_from_arrays(images, labels, masks=masks, distractors=~masks, cues=cues)


def read_birds(root: Path) -> list[Bird]:
    """Read the images that CUB lists, in its order, labelled by their species."""
    folder, birds = root / "CUB_200_2011", []
    training = _read_list(folder / "train_test_split.txt")
    for number, name in _read_list(folder / "images.txt").items():
        if training.get(number) not in ("0", "1"):
            raise ConfigurationError(
                f"{folder / 'train_test_split.txt'}: image {number} of images.txt has {training.get(number)!r} there; "
                "it must be 0 (test) or 1 (training)"
            )
        species = name.partition("/")[0].rpartition("_")[2].rpartition(".")[2]
        birds.append(Bird(name, int(species.lower() in WATER_BIRDS), training[number] == "1"))
    return birds


def read_bird(root: Path, name: str, side: int) -> tuple[Pixels, Bool[np.ndarray, "side side"]]:
    """Read a bird's image, with values in [0, 1], and its mask, both cropped to a square around the bird."""
    path, mask_path = _bird_files(root, name)
    image, votes = _open(path, "RGB"), _open(mask_path, "L")
    bird = votes.point(lambda vote: 255 * (vote >= 128)).getbbox() or (0, 0, *votes.size)
    box = _square(image.size, bird)
    mask = np.asarray(votes.resize((side, side), Image.Resampling.BILINEAR, box)) >= 128
    return _resized(image, box, side), mask


def read_place(path: Path, side: int) -> Pixels:
    """Read the central square of a place's image, with values in [0, 1]."""
    image = _open(path, "RGB")
    return _resized(image, _square(image.size, (0, 0, *image.size)), side)


def _read_list(path: Path) -> dict[int, str]:
    """Read the lines "<number> <text>" of one of CUB's lists."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path} of dataset 'waterbirds' ({error}); {LAYOUT}") from None
    texts = {}
    for row, line in enumerate(lines, start=1):
        number, _, text = line.strip().partition(" ")
        if not number.isdecimal() or not text:
            raise ConfigurationError(f"{path}, line {row}: {line!r} is not '<number> <text>'")
        texts[int(number)] = text
    return texts


def _root(options: WaterbirdsOptions) -> Path:
    if not options.root:
        raise ConfigurationError(f"dataset 'waterbirds' needs root=FOLDER; {LAYOUT}")
    root = Path(options.root)
    if not root.is_dir():
        raise ConfigurationError(f"root {options.root!r} of dataset 'waterbirds' is not a folder; {LAYOUT}")
    return root


def _digest(root: Path) -> str:
    """Digest of CUB's lists and of the names of the places."""
    paths = (root / "CUB_200_2011" / name for name in ("images.txt", "train_test_split.txt"))
    lists = [sorted(_read_list(path).items()) for path in paths]
    places = [[folder, *(path.name for path in _places(root, folder))] for folder in chain(*PLACES.values())]
    return hashlib.sha256("".join(map(json.dumps, [*lists, *places])).encode()).hexdigest()[:32]


def _places(root: Path, folder: str) -> list[Path]:
    paths = sorted((root / "places365" / folder).glob("*.jpg"))
    if not paths:
        raise ConfigurationError(f"there is no .jpg in {root / 'places365' / folder}; {LAYOUT}")
    return paths


def _dealt(items: Sequence[Any], sizes: Mapping[str, int], rng: np.random.Generator, what: str) -> dict[str, list[Any]]:
    """Deal to each part as many random items as `sizes` says, none twice."""
    wanted = sum(sizes.values())
    if len(items) < wanted:
        raise ConfigurationError(
            f"dataset 'waterbirds' needs {wanted} {what} and has {len(items)}; lower n_train, n_valid or n_test"
        )
    order = iter(rng.permutation(len(items)))
    return {part: [items[i] for i in islice(order, size)] for part, size in sizes.items()}


def _bird_files(root: Path, name: str) -> tuple[Path, Path]:
    """A bird's image and its mask, of the same size."""
    path, mask_path = root / "CUB_200_2011" / "images" / name, (root / "segmentations" / name).with_suffix(".png")
    if _size(path) != _size(mask_path):
        raise ConfigurationError(
            f"{mask_path} has {_size(mask_path)} pixels and {path} has {_size(path)}; they must agree"
        )
    return path, mask_path


@cache
def _size(path: Path) -> tuple[int, int]:
    """(width, height), from the file's header."""
    return _open(path).size


def _open(path: Path, mode: str | None = None) -> Image.Image:
    """The image converted to `mode`; without one its header alone is read."""
    try:
        with Image.open(path) as image:
            return image.convert(mode) if mode else image
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {path}; {LAYOUT}") from None
    except (OSError, SyntaxError) as error:
        raise ConfigurationError(f"{path} cannot be read as an image ({error}); download it again") from None


def _square(size: tuple[int, int], around: tuple[int, ...]) -> tuple[float, float, float, float]:
    """The largest square within an image of this size, as near to the middle of the box `around` as possible."""
    side = float(min(size))
    left, upper = (min(max((around[i] + around[i + 2] - side) / 2, 0.0), size[i] - side) for i in (0, 1))
    return left, upper, left + side, upper + side


def _resized(image: Image.Image, box: tuple[float, float, float, float], side: int) -> Pixels:
    """The part of an image in the box, with values in [0, 1]."""
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box))
    return pixels.transpose(2, 0, 1).astype(np.float32) / 255
