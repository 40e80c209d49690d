"""The settings of datasets made of one's own images."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from trainables.core.config import Options
from trainables.core.errors import ConfigurationError
from trainables.datasets.own.decoded import Form


class OwnImagesOptions(Options):
    image_size: int = Field(64, ge=8, le=1024, description="side in pixels to which images and masks are brought")
    channels: Literal[1, 3] = Field(1, description="1: grey, colours by luminance; 3: colours, grey repeated")
    pixel_range: str = Field(
        "type",
        description="what becomes black and white: type (0-255 of 8 bits, 0-65535 of 16, what BitsStored allows of "
        "DICOM, 0-1 of floats), image (each image's own least and greatest value), or LOW:HIGH, e.g. 0:4095",
    )
    fit: Literal["stretch", "pad", "crop"] = Field(
        "stretch", description="how an image that is not square becomes so: stretched, padded with 0, or cropped"
    )
    class_names: str = Field(
        "",
        description="the labels from class 0 on, e.g. 'normal,sick'; not given: sorted. Of two, maps explain class 1",
    )
    cue_groups: str = Field(
        "",
        description="the label that each group goes with in training, e.g. 'portable=sick,fixed=normal'; not given: as "
        "many groups as labels, each sorted, first with first",
    )
    max_severity: float = Field(
        1.0, ge=0, le=1, description="sizes are the largest that every severity up to this one can have"
    )
    n_train: int | None = Field(None, ge=4, description="training images; not given: as many as there can be")
    n_valid: int | None = Field(None, ge=4, description="validation images; not given: as many as there can be")
    n_test: int | None = Field(None, ge=4, description="test images; not given: as many as there can be")
    valid_fraction: float = Field(0.25, gt=0, lt=1, description="share of validation images where no split is given")
    test_fraction: float = Field(0.25, gt=0, lt=1, description="share of test images where no split is given")
    ignore_columns: str = Field(
        "", description="columns of the table to leave out of account, e.g. 'age,sex'; * for any"
    )
    content: str = Field("", description="digest of tables, images and masks; found from the files")

    @field_validator("pixel_range")
    @classmethod
    def _range(cls, value: str) -> str:
        number = r"-?\d+(\.\d+)?"
        if value in ("type", "image"):
            return value
        if not re.fullmatch(f"{number}:{number}", value) or float(value.split(":")[0]) >= float(value.split(":")[1]):
            raise ConfigurationError(
                f"bad value {value!r} for pixel_range: write type, image, or LOW:HIGH with LOW < HIGH, e.g. 0:4095"
            )
        return value

    @model_validator(mode="after")
    def _shares(self) -> "OwnImagesOptions":
        if self.valid_fraction + self.test_fraction >= 1:
            raise ConfigurationError(
                f"valid_fraction {self.valid_fraction:g} and test_fraction {self.test_fraction:g} leave nothing to "
                "train on; together they must be below 1"
            )
        return self

    @property
    def form(self) -> Form:
        """How files become images."""
        return Form(self.image_size, self.channels, self.pixel_range, self.fit)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each pool where no split is given."""
        rest = 1 - self.valid_fraction - self.test_fraction
        return {"train": rest, "valid": self.valid_fraction, "test": self.test_fraction}
