"""One fully specified trial: its configuration, the key that identifies it, and settings from a command line."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from records import columns
from trainables.core.errors import ConfigurationError, shortened

Preset = Literal["fixed", "paper"]
Precision = Literal["float32", "bfloat16"]
Augment = Literal["none", "flip", "crop_flip", "affine", "color"]
Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "step"]
Selection = Literal["last", "best_valid_id", "best_valid_ood"]
EmptyMask = Literal["skip", "outside", "inside"]
MaskCondition = Literal["expert", "random", "shifted", "other", "ones"]
MASK_CONTROLS = ("mask_condition", "mask_fraction", "mask_test")
"""Added later; left out of the key at their default so that old keys stay valid."""
DETECTED = ("method_revision", "dataset_revision", "blur_scale", columns.PLUGINS, "weights_digest")
"""Detected by `resolve`, not chosen."""
OMITTED_AT_DEFAULT = (
    *("attribution_passes", "faithfulness", "grad_cam_layer", "metrics"),
    *("precision", "randomisation_check", "weights", "keep_head"),
    *("optimizer", "momentum", "nesterov", "weight_decay", "schedule", "step_epochs", "warmup", "clip_norm"),
    *("freeze", "head_lr", "augment"),
)
"""Added later; left out of the key and of the record at their default, so that equal keys have equal columns."""
AUTO = "auto"
FREEZE_ALL_BUT = r"all_but_([1-9][0-9]{0,3})"
KEY_LENGTH = 16
LARGEST_SEED = 2**63 - 1
"""Of a column of whole numbers in a table."""
LARGEST_DATA_SEED = (2**32 - 1) // 3 - 1
"""`synthetic` seeds NumPy with 3k + 1 to 3k + 3 for data seed k, and NumPy takes 32 bits."""


class Options(BaseModel):
    """Base of the settings that one method or one dataset adds to a trial. Every field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    omitted_at_default: ClassVar[tuple[str, ...]] = ()
    """Added later; left out of the key and of the record at their default, so that old keys stay valid."""

    def flat(self) -> dict[str, Any]:
        """The settings by name, without those of `omitted_at_default` at their default."""
        fields = type(self).model_fields
        omitted = {name for name in self.omitted_at_default if getattr(self, name) == fields[name].default}
        return self.model_dump(exclude=omitted)


class TrialConfig(BaseModel):
    """Everything that determines a trial's result. `trainables.resolve` makes and checks one from flat settings.

    Methods without a penalty (baseline, masked, shuffled) need strength 0; the others take any weight >= 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field("synthetic", description="a name in DATASETS, folder:PATH or manifest:FILE.csv")
    severity: float = Field(1.0, ge=0, le=1, description="shift severity s in [0, 1]")
    method: str = Field("baseline", description="a name in METHODS")
    strength: float = Field(0.0, ge=0, allow_inf_nan=False, description="weight of the method's penalty")
    model: str = Field(
        "small_cnn",
        description="a name in MODELS, timm:NAME, torchvision:NAME, or module:function for a network of your own",
    )
    weights: str = Field(
        "random",
        description="initial weights: random, pretrained (those that the library publishes), or a file, folder or "
        "s3://bucket/key of tensors",
    )
    keep_head: bool = Field(False, description="take the last layer from `weights` too, instead of a new one")
    seed: int = Field(
        0, ge=0, le=LARGEST_SEED, description="seeds initial weights, batch order and everything random in training"
    )
    data_seed: int = Field(0, ge=0, le=LARGEST_DATA_SEED, description="seeds the data")
    preset: Preset = Field("fixed", description="reductions and quirks: ours (fixed) or the paper's (paper)")
    selection: Selection = Field("best_valid_id", description="which epoch's weights are scored")
    selection_warmup: int = Field(4, ge=0, description="first epoch index that selection may choose")
    epochs: int = Field(10, ge=1, le=10_000, description="passes over the training set")
    lr: float = Field(1e-3, gt=0, allow_inf_nan=False, description="learning rate, the highest of the schedule")
    optimizer: Optimizer = Field("adam", description="torch's optimiser; sgd has momentum")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    nesterov: bool = Field(False, description="Nesterov's momentum, for sgd")
    weight_decay: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="as torch applies it, to all trained weights, normalisation and biases included: adam and sgd add "
        "weight_decay times the weights to the gradient (L2), adamw shrinks the weights apart from it (decoupled)",
    )
    schedule: Schedule = Field(
        "constant",
        description="of the learning rate after the warm-up: constant, a cosine to 0 at the end of training, or a "
        "tenth after every step_epochs (step)",
    )
    step_epochs: int = Field(30, ge=1, description="epochs between the steps of schedule step")
    warmup: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="epochs at the start in which the learning rate rises linearly"
    )
    clip_norm: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="largest norm of the gradient of all trained weights; 0: no limit"
    )
    freeze: str = Field(
        "none",
        description="weights that are not trained: none, trunk (all but the head), or all_but_N (all but the head and "
        "the last N blocks). Frozen batch normalisation keeps its statistics",
    )
    head_lr: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="learning rate of the head, the last linear layer; null: lr"
    )
    batch_size: int = Field(32, ge=2, description="images per step")
    augment: Augment = Field(
        "none",
        description="random changes of training images, which masks follow: mirrored (flip); a part of 70 to 100 % "
        "of the area, of sides 3:4 to 4:3, resized and mirrored (crop_flip); rotated by up to 45 degrees, shifted by "
        "up to 15 % and scaled by 85 to 115 % (affine); crop_flip with changes of brightness, contrast, saturation and "
        "hue, for pixels in [0, 1] (color). torchvision's RandAugment and its relatives do not take masks",
    )
    precision: Precision = Field(
        "float32",
        description="of convolutions and matrix products in training. bfloat16 is faster where the device supports it "
        "and gives other results; scores are always computed in float32",
    )
    mask_dilation: int = Field(0, ge=0, description="pixels by which training masks grow on each side")
    mask_condition: MaskCondition = Field(
        "expert",
        description="what training masks show: the region of interest (expert), or a control: as many random pixels "
        "(random), the mask moved elsewhere (shifted), another image's mask (other), the whole image (ones)",
    )
    mask_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the training images that keep their mask; empty_mask applies to the others",
    )
    mask_test: bool = Field(False, description="images of all splits are zero outside the expert's mask")
    empty_mask: EmptyMask = Field(
        "skip",
        description="images without a mask: skip leaves them out of penalty and transform, outside treats every "
        "pixel as outside the mask, inside treats the whole image as the region of interest",
    )
    attributions: tuple[str, ...] = Field(
        ("input_gradient", "integrated_gradients", "occlusion"), description="names in ATTRIBUTIONS"
    )
    attribution_images: int = Field(64, ge=1, description="images scored in each test split")
    integrated_gradients_steps: int = Field(32, ge=2, description="steps of the path integral; the paper used 200")
    attribution_passes: int = Field(
        192,
        ge=6,
        description="forward passes per image for each attribution that samples; a gradient counts as three. A trial "
        "attributes twice attribution_images images",
    )
    metrics: tuple[str, ...] = Field(("iop", "iot", "iou"), description="names in LOCALISATION and TUNED")
    faithfulness: bool = Field(False, description="also score maps by the measures in FAITHFULNESS, which is slow")
    grad_cam_layer: str = Field(AUTO, description="the module of the model that layer_grad_cam explains")
    randomisation_check: bool = Field(
        False, description="also compare maps with those of a model with random weights (Adebayo et al. 2018)"
    )
    method_options: dict[str, Any] = Field(default_factory=dict, description="the method's own settings")
    dataset_options: dict[str, Any] = Field(default_factory=dict, description="the dataset's own settings")
    method_revision: int = Field(1, ge=1, description="raised when the method trains otherwise; detected")
    dataset_revision: int = Field(1, ge=1, description="raised when the dataset makes other images; detected")
    blur_scale: int = Field(
        1, ge=1, description="factor of the blur of maps, from the size of the images; 1 for small ones; detected"
    )
    weights_digest: str = Field("", description="what identifies the weights: a hash of the file; detected")
    plugins: str = Field(
        "", description='other packages that provide a part of the trial, with versions: "a 1.0, b 2.1"; detected'
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_defaults(cls, values: Any) -> Any:
        # The paper treats every pixel of a maskless image as outside (its RSNA negatives).
        if isinstance(values, dict) and values.get("preset") == "paper":
            return {"empty_mask": "outside", **values}
        return values

    @field_validator("freeze", mode="before")
    @classmethod
    def _spelling(cls, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(rf"none|trunk|{FREEZE_ALL_BUT}", value):
            raise ConfigurationError(
                f"bad value {shortened(value)} for freeze; choose none, trunk, or all_but_N for all but the last N "
                "blocks, for example all_but_2"
            )
        return value

    @classmethod
    def own_settings(cls) -> set[str]:
        """Names of the settings that can be chosen for every trial, whatever its method and dataset."""
        return set(cls.model_fields) - {"method_options", "dataset_options", *DETECTED}

    def is_default(self, name: str) -> bool:
        """Whether the setting `name` has its default."""
        return bool(getattr(self, name) == type(self).model_fields[name].default)

    @property
    def trial_key(self) -> str:
        """Hash of everything that determines the result: equal key, same trial.

        Files count by content, not by place; plug-ins by their package's version.
        """
        later = (*MASK_CONTROLS, *OMITTED_AT_DEFAULT, *DETECTED)
        settings = self.model_dump(mode="json", exclude=set(filter(self.is_default, later)))
        if "content" in self.dataset_options:
            settings["dataset_options"].pop("root", None)
        if self.weights_digest:
            del settings["weights"]
        # Only the kind of "folder:PATH" counts: the digest of its files is in the options.
        settings["dataset"] = self.dataset.partition(":")[0]
        # Always 1: records of an earlier schema version are migrated, and keep their keys.
        content = {"schema_version": 1, **settings}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]

    def flat(self) -> dict[str, Any]:
        """The settings that `resolve` turns back into this configuration, without `DETECTED` ones at their default."""
        empty = set(filter(self.is_default, DETECTED))
        settings = self.model_dump(exclude={"method_options", "dataset_options"} | empty)
        return {**settings, **self.method_options, **self.dataset_options}

    def columns(self) -> dict[str, Any]:
        """The configuration's columns of a record: the named ones, and every other setting as `hp.<name>`.

        `OMITTED_AT_DEFAULT` and `DETECTED` are left out at their default.
        """
        flat = {k: v for k, v in self.flat().items() if k not in OMITTED_AT_DEFAULT or not self.is_default(k)}
        flat |= {name: " ".join(flat[name]) for name in ("attributions", "metrics") if name in flat}
        without_prefix = (*columns.IDENTITY, columns.PLUGINS)
        named = {k: v for k, v in flat.items() if k in without_prefix}
        others = {columns.hyperparameter(k): v for k, v in flat.items() if k not in without_prefix}
        return {"trial_key": self.trial_key, **named, **others}


def settings_of(record: Mapping[str, Any] | pd.Series) -> dict[str, Any]:
    """The flat settings of a trial, from its record or its row of the table: the inverse of `TrialConfig.columns`.

    Missing values, which a table has for settings of other methods and datasets, are left out.
    """
    settings, values = dict[str, Any](), dict(record)
    for column in (*columns.settings_in(values), columns.PLUGINS):
        value: Any = values.get(column)
        value = value.item() if hasattr(value, "item") else value
        if column == columns.SEARCHER or value is None or value != value:
            continue
        name = column.removeprefix(columns.HYPERPARAMETER_PREFIX)
        settings[name] = tuple(str(value).split()) if name in ("attributions", "metrics") else value
    return settings


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Settings from KEY=VALUE pairs of a command line. A value is JSON (8, 1e-3, true) if possible, else text.

    Raises:
        ConfigurationError: an argument without "=", or a key given twice.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key or not text:
            raise ConfigurationError(f"bad --set {assignment!r}: write --set KEY=VALUE, for example --set epochs=20")
        if key in settings:
            raise ConfigurationError(f"--set {key} is given twice ({settings[key]!r} and {text!r}); give it once")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        settings[key] = tuple(text.split(",")) if key in ("attributions", "metrics") else value
    return settings
