"""One fully specified trial: its configuration, checked, and the key that identifies it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from records import columns
from trainables.core.errors import ConfigurationError, unknown_name
from trainables.core.plugins import check_installed, packages_of

Preset = Literal["fixed", "paper"]
Precision = Literal["float32", "bfloat16"]
Selection = Literal["last", "best_valid_id", "best_valid_ood"]
EmptyMask = Literal["skip", "outside", "inside"]
MaskCondition = Literal["expert", "random", "shifted", "other", "ones"]
LATER_SETTINGS = ("mask_condition", "mask_fraction", "mask_test")
"""Settings that trials did not always have: at their default they are no part of the key, which stays what it was."""
UNSAID_SETTINGS = (
    *("attribution_passes", "faithfulness", "grad_cam_layer", "metrics"),
    *("precision", "randomisation_check"),
)
"""Such settings that at their default are not in the record either, so that records of one key are alike whenever they
were made."""
KEY_LENGTH = 16


class Options(BaseModel):
    """Base of the settings that one method or one dataset adds to a trial; each field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TrialConfig(BaseModel):
    """Everything that determines a trial's result. Make one from flat settings with `TrialConfig.parse`.

    Strength 0 belongs to methods without a penalty (baseline, masked, shuffled); the others take any weight >= 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field("synthetic", description="a name in DATASETS, folder:PATH or manifest:FILE.csv")
    severity: float = Field(1.0, ge=0, le=1, description="shift severity s in [0, 1]")
    method: str = Field("baseline", description="a name in METHODS")
    strength: float = Field(0.0, ge=0, allow_inf_nan=False, description="weight of the method's penalty")
    model: str = Field("small_cnn", description="a name in MODELS")
    seed: int = Field(0, ge=0, description="seeds initial weights, batch order and everything random in training")
    data_seed: int = Field(0, ge=0, description="seeds the data")
    preset: Preset = Field("fixed", description="reductions and quirks: ours (fixed) or the paper's (paper)")
    selection: Selection = Field("best_valid_id", description="which epoch's weights are scored")
    selection_warmup: int = Field(4, ge=0, description="first epoch index that selection may choose")
    epochs: int = Field(10, ge=1, le=10_000)
    lr: float = Field(1e-3, gt=0, allow_inf_nan=False, description="Adam's learning rate")
    batch_size: int = Field(32, ge=2, description="images a step")
    precision: Precision = Field(
        "float32",
        description="of training's convolutions and matrix products; bfloat16 is quicker where the device "
        "has it, and gives other results. Scores are made in float32",
    )
    mask_dilation: int = Field(0, ge=0, description="training masks grow by so many pixels on each side")
    mask_condition: MaskCondition = Field(
        "expert",
        description="what training masks show: expert: the region of interest; the others are controls: as many random "
        "pixels (random), the mask moved elsewhere (shifted), another image's mask (other), the whole image (ones)",
    )
    mask_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the training images' masks that is kept; the others fall under empty_mask",
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
    integrated_gradients_steps: int = Field(32, ge=2, description="steps of the path integral; the paper took 200")
    attribution_passes: int = Field(
        192,
        ge=6,
        description="budget of each attribution that samples, in forward passes an image; a gradient costs three. A "
        "trial has twice attribution_images images",
    )
    metrics: tuple[str, ...] = Field(("iop", "iot", "iou"), description="names in LOCALISATION and TUNED")
    faithfulness: bool = Field(False, description="are maps also scored by the measures in FAITHFULNESS? They cost")
    grad_cam_layer: str = Field("trunk.5", description="the model's module whose map layer_grad_cam takes")
    randomisation_check: bool = Field(
        False, description="are maps of the trained model other than those of random weights? (Adebayo et al. 2018)"
    )
    method_options: dict[str, Any] = Field(default_factory=dict, description="the method's own settings")
    dataset_options: dict[str, Any] = Field(default_factory=dict, description="the dataset's own settings")
    plugins: str = Field(
        "", description='other packages that bring a part of the trial, each with its version: "a 1.0, b 2.1"; found'
    )

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> "TrialConfig":
        """The configuration that flat `settings` describe, e.g. {"method": "actdiff", "strength": 1, "n_train": 500}.

        A key may be a field of this class, or a setting of the chosen method or dataset.

        Raises:
            ConfigurationError: an unknown key or name, a value out of range, or a plug-in that cannot be used or is not
                the one that the trial was planned with.
        """
        from trainables.datasets import find_dataset, full_name
        from trainables.methods import METHODS

        check_installed(planned := str(settings.get(columns.PLUGINS, "")))
        own = set(cls.model_fields) - {"method_options", "dataset_options"}
        method_name = settings.get("method", cls.model_fields["method"].default)
        dataset_name = str(settings.get("dataset", cls.model_fields["dataset"].default))
        if method_name not in METHODS:
            raise unknown_name("method", method_name, METHODS, "trainables/methods/__init__.py")
        dataset = find_dataset(dataset_name)
        settings = {**settings, "dataset": full_name(dataset_name)}
        method_fields = set(METHODS[method_name].Options.model_fields)
        dataset_fields = set(dataset.Options.model_fields)
        if both := sorted(method_fields & dataset_fields):
            raise ConfigurationError(
                f"method {method_name!r} and dataset {dataset_name!r} both have a setting {both[0]!r}, so that they "
                "cannot be used together; rename it in one of them"
            )
        allowed = own | method_fields | dataset_fields
        for key in settings:
            if key not in allowed:
                raise ConfigurationError(
                    f"unknown setting {key!r} of method {method_name!r} on dataset {dataset_name!r}; "
                    f"choose from {', '.join(sorted(allowed))}"
                )
        method_options = {k: v for k, v in settings.items() if k in method_fields}
        dataset_options = {k: v for k, v in settings.items() if k in dataset_fields}
        try:
            config = cls(
                **{k: v for k, v in settings.items() if k in own - {columns.PLUGINS}},
                method_options=METHODS[method_name].Options(**method_options).model_dump(),
                dataset_options=dataset.complete(dataset.Options(**dataset_options)).model_dump(),
            )
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None
        packages = packages_of(config)
        if planned not in ("", packages):
            raise ConfigurationError(
                f"bad value {planned!r} for {columns.PLUGINS}: this trial's are {packages or 'none'!r}; leave it out"
            )
        return config.model_copy(update={columns.PLUGINS: packages}) if packages else config

    @model_validator(mode="before")
    @classmethod
    def _preset_defaults(cls, values: Any) -> Any:
        # The paper treats every pixel of a maskless image as outside (its RSNA negatives).
        if isinstance(values, dict) and values.get("preset") == "paper":
            return {"empty_mask": "outside", **values}
        return values

    @model_validator(mode="after")
    def _check_names(self) -> "TrialConfig":
        from trainables.methods import METHODS
        from trainables.models import MODELS
        from trainables.saliency.attribution import ATTRIBUTIONS
        from trainables.saliency.localisation import LOCALISATION, TUNED

        if self.model not in MODELS:
            raise unknown_name("model", self.model, MODELS, "trainables/models/__init__.py")
        for name in self.attributions:
            if name not in ATTRIBUTIONS:
                raise unknown_name("attribution", name, ATTRIBUTIONS, "trainables/saliency/attribution/__init__.py")
        for name in self.metrics:
            if name not in LOCALISATION.keys() | TUNED.keys():
                known = LOCALISATION.keys() | TUNED.keys()
                raise unknown_name("metric", name, known, "trainables/saliency/localisation/__init__.py")
        self._check_grad_cam_layer()
        if self.strength != 0 and not METHODS[self.method].has_penalty:
            raise ConfigurationError(
                f"strength {self.strength:g} for method {self.method!r}, which has no penalty; "
                "leave strength at 0 or choose a method that has one"
            )
        self._check_masks()
        METHODS[self.method].check(self)
        return self

    def _check_grad_cam_layer(self) -> None:
        from trainables.saliency.attribution.grad_cam import check_layer

        if "layer_grad_cam" in self.attributions:
            check_layer(self.model, self.grad_cam_layer)
        elif "grad_cam_layer" not in self._at_default():
            raise ConfigurationError(
                f"grad_cam_layer {self.grad_cam_layer!r} without the attribution layer_grad_cam; add that to "
                "attributions, or leave grad_cam_layer out"
            )

    def _check_masks(self) -> None:
        from trainables.methods import METHODS

        wrong = [name for name in ("mask_condition", "mask_fraction") if name not in self._at_default()]
        if not wrong:
            return
        told = f"{wrong[0]} {getattr(self, wrong[0])}"
        default = type(self).model_fields[wrong[0]].default
        if not METHODS[self.method].reads_masks:
            reading = ", ".join(sorted(name for name, method in METHODS.usable().items() if method.reads_masks))
            raise ConfigurationError(
                f"{told} for method {self.method!r}, which sees no masks; "
                f"leave it at {default} or choose from {reading}"
            )
        if self.mask_test:
            raise ConfigurationError(
                f"{told} with mask_test, which puts the expert's masks on the images of all splits; "
                f"leave it at {default} or mask_test at false"
            )

    def _at_default(self) -> set[str]:
        """The settings that trials did not always have and that are at their default."""
        later = (*LATER_SETTINGS, *UNSAID_SETTINGS, columns.PLUGINS)
        return {name for name in later if getattr(self, name) == type(self).model_fields[name].default}

    @property
    def trial_key(self) -> str:
        """Hash of all that determines the result: equal key, same trial.

        Of files it has the content, not the place; of parts from other packages the package's version.
        """
        from trainables.datasets import kind_of

        settings = self.model_dump(mode="json", exclude=self._at_default())
        if "content" in self.dataset_options:
            settings["dataset_options"].pop("root", None)
        content = {"schema_version": columns.SCHEMA_VERSION, **settings, "dataset": kind_of(self.dataset)}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]

    @property
    def training_key(self) -> str:
        """The trial key of the trial that stands for all that are trained alike: equal key, same training.

        That is the one under selection best_valid_id and, where the method does not read the preset, preset fixed.
        """
        from trainables.methods import METHODS

        stand_in: dict[str, Any] = {"selection": "best_valid_id"}
        if not METHODS[self.method].reads_preset:
            stand_in["preset"] = "fixed"
        return self.model_copy(update=stand_in).trial_key

    @property
    def candidate_epoch(self) -> int:
        """The first epoch index that selection may choose; the last one where the trial is shorter.

        Of a method that is complete in its last epoch alone, that one.
        """
        from trainables.methods import METHODS

        last = self.epochs - 1
        return last if METHODS[self.method].complete_at_end else min(self.selection_warmup, last)

    def flat(self) -> dict[str, Any]:
        """The settings that `parse` turns back into this configuration."""
        empty = set() if self.plugins else {columns.PLUGINS}
        settings = self.model_dump(exclude={"method_options", "dataset_options"} | empty)
        return {**settings, **self.method_options, **self.dataset_options}

    def columns(self) -> dict[str, Any]:
        """The configuration as a record holds it: the named columns, every other setting as `hp.<name>`.

        Left out are `UNSAID_SETTINGS` at their default, and plug-ins where there are none.
        """
        unsaid = self._at_default().intersection(UNSAID_SETTINGS)
        flat = {name: value for name, value in self.flat().items() if name not in unsaid}
        flat |= {name: " ".join(flat[name]) for name in ("attributions", "metrics") if name in flat}
        own_column = (*columns.IDENTITY, columns.PLUGINS)
        named = {k: v for k, v in flat.items() if k in own_column}
        others = {columns.hyperparameter(k): v for k, v in flat.items() if k not in own_column}
        return {"trial_key": self.trial_key, **named, **others}


def _explain(error: ValidationError) -> str:
    parts = []
    for problem in error.errors():
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, ConfigurationError):
            parts.append(str(cause))
        else:
            name = ".".join(str(part) for part in problem["loc"])
            parts.append(f"bad value {problem['input']!r} for {name}: {problem['msg'].lower()}")
    return "; ".join(parts)
