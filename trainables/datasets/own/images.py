"""Datasets of a user's own images, masks and labels; severity by resampling them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from records.columns import SPLITS
from trainables.core.config import Options as BaseOptions
from trainables.core.errors import ConfigurationError, Problems
from trainables.core.files import Files, check_unchanged
from trainables.core.streams import numpy_stream
from trainables.datasets.dataset import Dataset, Split, agreement
from trainables.datasets.mapped import derived, mapped_array, taken, unit_images
from trainables.datasets.own import decoded as store
from trainables.datasets.own import sampling
from trainables.datasets.own.table import Row, check_rows

SIZES = ("n_train", "n_valid", "n_test")


class OwnImagesOptions(BaseOptions):
    image_size: int | None = Field(
        None,
        ge=store.SMALLEST_SIZE,
        le=store.LARGEST_SIZE,
        description="side in pixels of images and masks after resizing; default: the images' own where all share one "
        f"of at most {store.LARGEST_NATIVE}, else {store.LARGEST_NATIVE}",
    )
    channels: Literal[1, 3] | None = Field(
        None,
        description="1: grey, colours by luminance; 3: colours, grey repeated; default: 3 where at least half of the "
        f"images have colour (of {store.SAMPLE} of them, if there are more), else 1",
    )
    pixel_range: str = Field(
        "type",
        description="values of black and white: type (0-255 for 8 bits, 0-65535 for 16, the range of BitsStored for "
        "DICOM, 0-1 for floats), image (each image's least and greatest value), or LOW:HIGH, e.g. 0:4095",
    )
    fit: Literal["stretch", "pad", "crop"] = Field(
        "stretch", description="how images that are not square become so: stretched, padded with 0, or cropped"
    )
    class_names: str = Field(
        "", description="labels from class 0 on, e.g. 'normal,sick'; default: sorted. With two, maps explain class 1"
    )
    cue_groups: str = Field(
        "",
        description="label that goes with each group in training, e.g. 'portable=sick,fixed=normal'; default: as many "
        "groups as labels, paired in sorted order",
    )
    max_severity: float = Field(1.0, ge=0, le=1, description="default sizes are the largest up to this severity")
    n_train: int | None = Field(None, ge=4, description="training images; default: as many as possible")
    n_valid: int | None = Field(None, ge=4, description="validation images; default: as many as possible")
    n_test: int | None = Field(None, ge=4, description="test images; default: as many as possible")
    valid_fraction: float = Field(0.25, gt=0, lt=1, description="share of validation images, unless splits are given")
    test_fraction: float = Field(0.25, gt=0, lt=1, description="share of test images, unless splits are given")
    ignore_columns: str = Field("", description="columns of the table to ignore, e.g. 'age,sex'; * for all unknown")
    content: str = Field("", description="digest of tables, images and masks; computed from the files")

    @field_validator("pixel_range")
    @classmethod
    def _range(cls, value: str) -> str:
        limits = re.fullmatch(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)", value)
        if value in ("type", "image") or (limits and 0 < float(limits[2]) - float(limits[1]) < math.inf):
            return value
        raise ConfigurationError(
            f"bad value {value!r} for pixel_range: write type, image, or LOW:HIGH with LOW < HIGH, e.g. 0:4095"
        )

    @model_validator(mode="after")
    def _shares(self) -> "OwnImagesOptions":
        if (together := self.valid_fraction + self.test_fraction) >= 1:
            raise ConfigurationError(f"valid_fraction + test_fraction is {together:g}; it must be below 1")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Share of each pool where splits are not given."""
        train = 1 - self.valid_fraction - self.test_fraction
        return {"train": train, "valid": self.valid_fraction, "test": self.test_fraction}


class OwnImages(Dataset):
    """Five splits of a user's own images. A subclass finds them: `read_rows`.

    Pools for training, validation and test share no subject; the table gives them, or they are dealt from the data
    seed. From each pool, images are drawn so that classes are balanced and the group agrees with the label as often as
    the severity requires; their number does not depend on the severity. valid_id and valid_ood (test_id and test_ood)
    are drawn from one pool and share as many images as they can.

    Without a group column the shift is that of the given splits, and severity must be 1. The table names the five
    splits itself, or it has train, valid and test, which become train, valid_ood and test_ood; valid_id and test_id are
    then held out from train by subject. Classes keep their frequencies, and cues are -1.
    """

    Options: ClassVar[type[BaseOptions]] = OwnImagesOptions
    options: OwnImagesOptions
    cue_location = "unknown"
    how_to_add_masks: ClassVar[str] = "give masks or boxes"
    place: ClassVar[str] = ""
    """Location of the data, for a class made by `find_dataset`."""

    @classmethod
    def location(cls, options: Any) -> str:
        return cls.place

    @classmethod
    def read_rows(cls, options: Any, files: Files, problems: Problems) -> list[Row]:
        """Read the rows, with locations of images and masks, and collect problems."""
        raise NotImplementedError

    @classmethod
    def complete(cls, options: Any) -> Any:
        if not options.content:
            rows, files = cls.read(options)
            options = options.model_copy(update={"content": store.content_digest(rows, files)})
        if options.image_size is None or options.channels is None:
            side, channels = store.native_form(options.content, lambda: cls.read(options))
            form = {"image_size": options.image_size or side, "channels": options.channels or channels}
            options = options.model_copy(update=form)
        return options

    @classmethod
    def read(cls, options: Any) -> tuple[list[Row], Files]:
        """The checked rows of the data as they are now, and their files."""
        files, problems = Files(cls.location(options)), Problems()
        rows = cls.read_rows(options, files, problems)
        problems.check()
        check_rows(rows)
        return rows, files

    def _read_unchanged(self) -> tuple[list[Row], Files]:
        rows, files = self.read(self.options)
        check_unchanged(store.content_digest(rows, files), self.options.content, self.location(self.options))
        return rows, files

    def decoded(self) -> store.Decoded:
        return store.load_decoded(self.complete(self.options), self._read_unchanged)

    def decoded_folders(self) -> Sequence[Path]:
        return (store.decoded_folder(self.complete(self.options), self._read_unchanged),)

    def notes(self) -> Sequence[str]:
        return list(store.notes(self.decoded(), self.complete(self.options)))

    def meaning(self) -> sampling.Meaning:
        return sampling.find_meaning(self.decoded(), self.options.class_names, self.options.cue_groups)

    @property
    def classes(self) -> int:
        return len(self.meaning().class_names)

    @property
    def knows_cues(self) -> bool:
        return bool(self.meaning().groups)

    def check(self) -> None:
        decoded, meaning, index = self.decoded(), self.meaning(), self.index()
        for name in SPLITS:
            for label in np.setdiff1d(meaning.labels, meaning.labels[index[name]]):
                rows = np.flatnonzero(meaning.labels == label)
                raise ConfigurationError(
                    f"{name} has no image of label {meaning.class_names[label]!r}, of which the table has {len(rows)} "
                    f"(the first in {decoded.rows[rows[0]].where}); correct the label, or add images of more subjects"
                )
        masked = decoded.masked
        for name in ("test_id", "test_ood"):
            scored = index[name][(meaning.labels[index[name]] == 1) | (self.classes > 2)]
            if not masked[scored].any():
                which = f"of label {meaning.class_names[1]!r} " if self.classes == 2 else ""
                raise ConfigurationError(
                    f"no image {which}in {name} has a mask ({decoded.rows[scored[0]].image} has none), so no map can "
                    f"be scored; {self.how_to_add_masks}"
                    + (", or set class_names so that the label with masks comes last" if self.classes == 2 else "")
                )

    def splits(self) -> Mapping[str, Split]:
        decoded, meaning = self.decoded(), self.meaning()
        images = unit_images(mapped_array(decoded.pixels))
        masks = derived(lambda masks: masks[:, None], mapped_array(decoded.masks))
        labels, cues = (torch.from_numpy(values.astype(np.int64)) for values in (meaning.labels, meaning.cues))
        return {
            name: Split(
                images=taken(images, index),
                labels=labels[index],
                masks=taken(masks, index),
                distractors=derived(torch.zeros_like, taken(masks, index)),
                cues=cues[index],
                class_names=meaning.class_names,
            )
            for name, index in ((name, torch.tensor(index)) for name, index in self.index().items())
        }

    def index(self) -> dict[str, sampling.Index]:
        """Indices of the rows of each split, in an order that depends on the data seed alone."""
        rows, meaning = self.decoded().rows, self.meaning()
        order = numpy_stream("own order", self.data_seed).permutation(len(rows))
        pools = self._pools(rows, grouped=bool(meaning.groups))
        pools = {name: order[np.isin(order, members)] for name, members in pools.items()}
        index = self._resampled(pools, meaning) if meaning.groups else pools
        return {name: index[name] for name in SPLITS}

    def _pools(self, rows: Sequence[Row], grouped: bool) -> dict[str, sampling.Index]:
        """Indices of the rows of each pool; of each split, if the rows have no groups."""
        given = dict.fromkeys(row.split for row in rows if row.split)
        pools = {name: np.flatnonzero([row.split == name for row in rows]) for name in given}
        if (grouped and given) or set(given) == set(SPLITS):
            self._refuse(("valid_fraction", "test_fraction"), "on data whose splits are given")
        if grouped:
            return pools or sampling.deal(rows, self.options.shares, self.data_seed)
        if self.severity != 1:
            raise ConfigurationError(
                f"severity {self.severity:g} for data without a column 'group', whose shift is the one between the "
                "splits; set severity=1, or add the group (site, view, device) that goes with the label"
            )
        self._refuse((*SIZES, "max_severity", "cue_groups"), "on data without a column 'group'")
        if not given:
            raise ConfigurationError(
                "the data have no column 'group' and no splits; add the group (site, view, device) that goes with the "
                "label, or a column 'split'"
            )
        if set(given) == set(SPLITS):
            return pools
        train = pools["train"]
        dealt = sampling.deal([rows[i] for i in train.tolist()], self.options.shares, self.data_seed)
        held_out = {f"{pool}_id": train[dealt[pool]] for pool in ("valid", "test")}
        return {"train": train[dealt["train"]], **held_out, "valid_ood": pools["valid"], "test_ood": pools["test"]}

    def _refuse(self, names: Sequence[str], where: str) -> None:
        """Refuse settings that would have no effect, unless they have their defaults."""
        for name in names:
            value, default = getattr(self.options, name), type(self.options).model_fields[name].default
            if value != default:
                raise ConfigurationError(
                    f"{name}={value} has no effect {where}; leave it out, or set {name}={json.dumps(default)}"
                )

    def _resampled(self, pools: Mapping[str, sampling.Index], meaning: sampling.Meaning) -> dict[str, sampling.Index]:
        if self.severity > self.options.max_severity:
            raise ConfigurationError(
                f"severity {self.severity:g} is above max_severity={self.options.max_severity:g}; raise max_severity"
            )
        sampling.check_apart(meaning)
        result = {}
        for pool, members in pools.items():
            labels, cues = meaning.labels[members], meaning.cues[members]
            is_ood = {"train": False} if pool == "train" else {f"{pool}_id": False, f"{pool}_ood": True}
            cells = sampling.count_cells(labels, cues, self.classes)
            per_class = self._per_class(pool, cells, list(is_ood.values()))
            for name, ood in is_ood.items():
                counts = sampling.cell_counts(per_class, self.classes, agreement(self.severity, self.classes, ood))
                result[name] = sampling.draw(members, labels, cues, counts)
        return result

    def _per_class(self, pool: str, cells: sampling.Cells, is_ood: list[bool]) -> int:
        """Images of each class in the splits of a pool; `is_ood` says which are out of distribution."""
        classes, size = len(cells), getattr(self.options, f"n_{pool}")
        # Cells are monotone in the severity, so its two ends decide.
        probabilities = [agreement(s, classes, ood) for s in (0.0, self.options.max_severity) for ood in is_ood]
        most = sampling.largest(cells, probabilities, multiple=classes)
        if size is not None and size % classes**2:
            raise ConfigurationError(
                f"n_{pool}={size} cannot be shared evenly by {classes} labels and cues; give a multiple of {classes**2}"
            )
        per_class = size // classes if size is not None else max(most, classes)
        for probability in probabilities:
            needed = sampling.cell_counts(per_class, classes, probability)
            for label, cue in np.argwhere(needed > cells):
                rows, meaning = self.decoded().rows, self.meaning()
                label_name, group = meaning.class_names[label], meaning.group_names()[cue]
                smaller = f"set n_{pool} to at most {most * classes}, " if most else ""
                # Severity 0 needs images of every label with every group.
                lower = "lower max_severity, or " if self.options.max_severity and cells.min() else ""
                cell_rows = [rows[i] for i in np.flatnonzero((meaning.labels == label) & (meaning.cues == cue))]
                dominant = sampling.dominant_subject(rows, cell_rows, min(self.options.shares.values()))
                raise ConfigurationError(
                    f"the {pool} images of label {label_name!r} with group {group} are too few: {cells[label, cue]}, "
                    f"but n_{pool}={per_class * classes} needs {needed[label, cue]}; {smaller}{lower}add such images"
                    f"{dominant}"
                )
        return per_class
