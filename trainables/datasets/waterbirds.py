"""Waterbirds: birds of CUB-200-2011 over land or water of Places, both read from disk."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from PIL import Image
from pydantic import Field

from trainables.core.config import Options
from trainables.core.errors import ConfigurationError
from trainables.core.files import Root, check_unchanged
from trainables.core.streams import numpy_stream
from trainables.datasets import decoding
from trainables.datasets.dataset import DrawnCueDataset, Labels, Split
from trainables.datasets.mapped import derived, mapped_array, taken, unit_images

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

DECODED = 1
"""Increase it when the same files are decoded to different arrays."""

Pixels = UInt8[np.ndarray, "3 side side"]
"""255 is white."""
Index = Int[np.ndarray, " images"]


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


class PlacedBirds(NamedTuple):
    """Birds by their places in CUB's list, and for each the indices of its land and its water in `decoded`."""

    birds: Index
    places: Int[np.ndarray, "images 2"]


class Decoded(NamedTuple):
    """All birds that CUB lists, in its order, and all places, land first, in arrays that are mapped from files."""

    birds: UInt8[np.ndarray, "birds 3 side side"]
    masks: Bool[np.ndarray, "birds side side"]
    places: UInt8[np.ndarray, "places 3 side side"]


class Waterbirds(DrawnCueDataset[PlacedBirds]):
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
        self.parts()
        self.decoded_folders()

    def decoded_folders(self) -> Sequence[Path]:
        return decoded_folders(_root(self.options), self.options.image_size)

    def decoded(self) -> Decoded:
        birds, places = self.decoded_folders()
        return Decoded(*map(decoding.mapped, (birds / "pixels.npy", birds / "masks.npy", places / "pixels.npy")))

    def parts(self) -> Mapping[str, tuple[PlacedBirds, Labels]]:
        sizes = {"train": self.options.n_train, "valid": self.options.n_valid, "test": self.options.n_test}
        root = _root(self.options)
        check_unchanged(_digest(root), self.options.content, str(root))
        birds: dict[str, list[int]] = {part: [] for part in sizes}
        rng, listed = numpy_stream("waterbirds birds", self.data_seed), read_birds(root)
        for label, kind in enumerate(PLACES):
            for training, parts in ((True, ("train", "valid")), (False, ("test",))):
                candidates = [i for i, bird in enumerate(listed) if (bird.label, bird.training) == (label, training)]
                halves = {part: sizes[part] // 2 for part in parts}
                for part, dealt in _dealt(candidates, halves, rng, f"{kind} birds for {' and '.join(parts)}").items():
                    birds[part] += dealt
        rng, places, first = numpy_stream("waterbirds places", self.data_seed), [], 0
        for kind, folders in PLACES.items():
            after = first + sum(len(_places(root, folder)) for folder in folders)
            places.append(_dealt(range(first, after), sizes, rng, f"places of {kind}, one for each bird"))
            first = after
        return {
            part: (
                PlacedBirds(np.array(chosen), np.stack([of_kind[part] for of_kind in places], axis=1)),
                np.array([listed[i].label for i in chosen]),
            )
            for part, chosen in birds.items()
        }

    def with_cues(self, part: str, objects: PlacedBirds, labels: Labels, cues: Labels) -> Split:
        decoded = self.decoded()
        birds, places = (torch.from_numpy(of) for of in (objects.birds, objects.places[np.arange(len(cues)), cues]))
        masks = derived(lambda masks: masks[:, None], taken(mapped_array(decoded.masks), birds))
        pixels = taken(mapped_array(decoded.birds), birds), taken(mapped_array(decoded.places), places)
        return Split(
            images=unit_images(derived(torch.where, masks, *pixels)),
            labels=torch.from_numpy(labels),
            masks=masks,
            distractors=derived(torch.logical_not, masks),
            cues=torch.from_numpy(cues),
        )


def decoded_folders(root: Path, side: int) -> tuple[Path, Path]:
    """The folders of `Decoded` birds and places, decoded if need be; all severities and data seeds share them."""
    birds, places = [bird.name for bird in read_birds(root)], _all_places(root)

    def write_birds(folder: Path) -> None:
        pixels = decoding.allocated(folder / "pixels.npy", np.uint8, (len(birds), 3, side, side))
        masks = decoding.allocated(folder / "masks.npy", np.bool_, (len(birds), side, side))

        def decode(i: int) -> None:
            pixels[i], masks[i] = read_bird(root, birds[i], side)

        decoding.decode_all(decode, len(birds), "Decoding birds")

    def write_places(folder: Path) -> None:
        pixels = decoding.allocated(folder / "pixels.npy", np.uint8, (len(places), 3, side, side))

        def decode(i: int) -> None:
            pixels[i] = read_place(places[i], side)

        decoding.decode_all(decode, len(places), "Decoding places")

    bird_files, place_files = _file_digests(root)
    return (
        decoding.decoded_folder(["waterbirds birds", DECODED, side, bird_files], write_birds),
        decoding.decoded_folder(["waterbirds places", DECODED, side, place_files], write_places),
    )


@lru_cache(maxsize=4)
def _file_digests(root: Path) -> tuple[str, str]:
    """Digests of the paths, sizes and change times of all birds' and of all places' files; once per process."""
    birds = chain.from_iterable(_bird_files(root, bird.name) for bird in read_birds(root))
    return _file_digest(birds), _file_digest(_all_places(root))


def _file_digest(paths: Iterable[Path]) -> str:
    # A missing file is an error of decoding, which names it.
    stats = ((str(path), path.stat() if path.exists() else None) for path in paths)
    stamps = [(path, stat and (stat.st_size, stat.st_ctime_ns)) for path, stat in stats]
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()


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
    """Read a bird's image and its mask, both cropped to a square around the bird."""
    path, mask_path = _bird_files(root, name)
    image, votes = _open(path, "RGB"), _open(mask_path, "L")
    if image.size != votes.size:
        raise ConfigurationError(f"{mask_path} has {votes.size} pixels and {path} has {image.size}; they must agree")
    bird = votes.point(lambda vote: 255 * (vote >= 128)).getbbox() or (0, 0, *votes.size)
    box = _square(image.size, bird)
    mask = np.asarray(votes.resize((side, side), Image.Resampling.BILINEAR, box)) >= 128
    return _resized(image, box, side), mask


def read_place(path: Path, side: int) -> Pixels:
    """Read the central square of a place's image."""
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


def _all_places(root: Path) -> list[Path]:
    return [path for folder in chain(*PLACES.values()) for path in _places(root, folder)]


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
    """A bird's image and its mask."""
    return root / "CUB_200_2011" / "images" / name, (root / "segmentations" / name).with_suffix(".png")


def _open(path: Path, mode: str) -> Image.Image:
    """The image converted to `mode`."""
    try:
        with Image.open(path) as image:
            return image.convert(mode)
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
    """The part of an image in the box."""
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box)).transpose(2, 0, 1)
