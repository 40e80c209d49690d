"""From flat settings to a checked TrialConfig: the one file that sees every registry."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import ValidationError

from records import columns
from trainables.core.config import AUTO, DETECTED, Options, TrialConfig
from trainables.core.errors import ConfigurationError, did_you_mean, shortened, unknown_name
from trainables.datasets import DATASETS, find_dataset, full_name
from trainables.datasets.dataset import UNIT, USUAL_SIDE
from trainables.methods import METHODS
from trainables.methods.method import Method
from trainables.models import MODELS, library_of, weights
from trainables.saliency.attribution import ATTRIBUTIONS
from trainables.saliency.attribution.grad_cam import check_layer
from trainables.saliency.localisation import LOCALISATION, TUNED
from trainables.trial.augment import check_augment
from trainables.trial.recipe import check_recipe


def resolve(settings: Mapping[str, Any]) -> TrialConfig:
    """The configuration that flat `settings` describe, e.g. {"method": "actdiff", "strength": 1, "n_train": 500}.

    A key is a field of `TrialConfig` or a setting of the chosen method or dataset; missing keys get their defaults.

    Raises:
        ConfigurationError: an unknown key or name, a value out of range, or a plug-in that cannot be used or has
            another version than the trial was planned with.
    """
    planned = str(settings.get(columns.PLUGINS, ""))
    _check_installed(planned)
    defaults = TrialConfig.model_fields
    method_name = str(settings.get("method", defaults["method"].default))
    dataset_name = str(settings.get("dataset", defaults["dataset"].default))
    if method_name not in METHODS:
        raise unknown_name("method", method_name, METHODS, "trainables/methods/__init__.py")
    library_of(settings.get("model", defaults["model"].default))
    method, dataset = METHODS[method_name], find_dataset(dataset_name)
    of_every_trial = TrialConfig.own_settings()
    of_method, of_dataset = set(method.Options.model_fields), set(dataset.Options.model_fields)
    if shared := sorted(of_method & of_dataset):
        raise ConfigurationError(
            f"method {method_name!r} and dataset {dataset_name!r} both have a setting {shared[0]!r}, so they cannot be "
            "used together; rename it in one of them"
        )
    allowed = of_every_trial | of_method | of_dataset
    if unknown := [key for key in settings if key not in allowed.union(DETECTED)]:
        raise ConfigurationError(
            f"unknown setting {unknown[0]!r} of method {method_name!r} on dataset {dataset_name!r}; "
            f"{did_you_mean(unknown[0], allowed)}choose from {', '.join(sorted(allowed))}"
        )
    try:
        method_options = method.Options(**{k: v for k, v in settings.items() if k in of_method})
        dataset_options = dataset.Options(**{k: v for k, v in settings.items() if k in of_dataset})
        fields = {k: v for k, v in settings.items() if k in of_every_trial}
        completed = dataset.complete(dataset_options)
        fields |= {"method_options": method_options.flat(), "dataset_options": completed.flat()}
        config = TrialConfig(**{**fields, "dataset": full_name(dataset_name)})
        config = config.model_copy(update=_in_one_form(config))
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None
    _check(config, dataset.side(completed))
    _check_pixel_values(config, method, method_options, dataset.limits(dataset_options))
    check_augment(config, dataset.limits(dataset_options))
    detected = {
        "method_revision": method.revision(config),
        "dataset_revision": dataset.revision(dataset_options),
        "blur_scale": _blur_scale(config, dataset.side(completed)),
        columns.PLUGINS: _packages(config),
        "weights_digest": weights.digest_of(config.model, config.weights),
    }
    for name, value in detected.items():
        if settings.get(name) not in (None, "", value):
            raise ConfigurationError(
                f"bad value {settings[name]!r} for {name}: this trial's {'are' if name == columns.PLUGINS else 'is'} "
                f"{value or 'none'!r}; leave it out, or plan the trial again with this version"
            )
    return config.model_copy(update=detected)


def _in_one_form(config: TrialConfig) -> dict[str, str]:
    """Settings that can be written in several ways, as they are in every process and key."""
    of_model = MODELS[config.model].finer_layer if config.model in MODELS else AUTO
    layer = AUTO if config.grad_cam_layer == of_model else config.grad_cam_layer
    return {"weights": weights.full_name(config.weights), "grad_cam_layer": layer}


def check_cues(method: str, dataset: str, known: bool) -> None:
    """Raise ConfigurationError if the dataset's cues are not `known`, for a method that needs them."""
    if not known:
        raise ConfigurationError(
            f"method {method!r} needs the group of every image (label and cue), and dataset {dataset!r} does not know "
            "the cues; give the table a column 'group' (site, view, device), or choose a method that needs no groups"
        )


def _check(config: TrialConfig, side: int) -> None:
    """Check names and combinations of settings."""
    metrics = LOCALISATION.keys() | TUNED.keys()
    for kind, names, allowed, folder in (
        ("attribution", config.attributions, ATTRIBUTIONS, "attribution"),
        ("metric", config.metrics, metrics, "localisation"),
    ):
        if unknown := [name for name in names if name not in allowed]:
            raise unknown_name(kind, unknown[0], allowed, f"trainables/saliency/{folder}/__init__.py")
    if "layer_grad_cam" in config.attributions:
        check_layer(config.model, config.grad_cam_layer, side)
    elif not config.is_default("grad_cam_layer"):
        raise ConfigurationError(
            f"grad_cam_layer {config.grad_cam_layer!r} without the attribution layer_grad_cam; add that to "
            "attributions, or leave grad_cam_layer out"
        )
    if config.keep_head and config.weights == weights.RANDOM:
        raise ConfigurationError("keep_head true without weights; set weights to pretrained or a file, or leave it out")
    if config.strength != 0 and not METHODS[config.method].has_penalty:
        raise ConfigurationError(
            f"strength {config.strength:g} for method {config.method!r}, which has no penalty; "
            "leave strength at 0 or choose a method that has one"
        )
    for name in ("mask_condition", "mask_fraction"):
        default = TrialConfig.model_fields[name].default
        setting = f"{name} {getattr(config, name)}"
        if config.is_default(name):
            continue
        if not METHODS[config.method].reads_masks:
            suitable = ", ".join(sorted(name for name, method in METHODS.usable().items() if method.reads_masks))
            raise ConfigurationError(
                f"{setting} for method {config.method!r}, which sees no masks; leave it at {default} or choose from "
                f"{suitable}"
            )
        if config.mask_test:
            raise ConfigurationError(
                f"{setting} with mask_test, which applies the expert's masks to the images of all splits; "
                f"leave it at {default} or mask_test at false"
            )
    check_recipe(config, side)
    METHODS[config.method].check(config)


def _check_pixel_values(
    config: TrialConfig, method: type[Method], options: Options, limits: tuple[float, float]
) -> None:
    """Check that settings in units of pixel value are not at their defaults, which are for pixels in [0, 1]."""
    black, white = limits
    for name in method.in_pixel_values if limits != UNIT else ():
        value, default = getattr(options, name), method.Options.model_fields[name].default
        if value == default:
            raise ConfigurationError(
                f"{name} {value:g} of method {config.method!r} is for pixels in [0, 1], and those of dataset "
                f"{config.dataset!r} are in [{black:g}, {white:g}]; set {name} in their units, for example "
                f"{name}={default * (white - black):g}, or choose pixels in [0, 1]"
            )


def _blur_scale(config: TrialConfig, side: int) -> int:
    """Factor of the blur of maps, in proportion to images of `side` pixels, rounded: 1 up to 41 pixels.

    The paper's program blurs by one pixel at 28 and at 224 pixels, and so does its preset.
    """
    blurred = any(ATTRIBUTIONS[name].smoothing for name in config.attributions)
    return max(1, round(side / USUAL_SIDE)) if blurred and config.preset == "fixed" else 1


def _packages(config: TrialConfig) -> str:
    """Each package that provides the trial's method, dataset, model, an attribution or a metric: "a 1.0, b 2.1"."""
    packages = {
        METHODS.package(config.method),
        DATASETS.package(config.dataset),
        MODELS.package(config.model) if config.model in MODELS else "",
        *map(ATTRIBUTIONS.package, config.attributions),
        *map(LOCALISATION.package, config.metrics),
    }
    return ", ".join(sorted(package for package in packages if package))


def _check_installed(packages: str) -> None:
    """Check that this process has the packages that a trial was planned with, "a 1.0, b 2.1"."""
    for package in filter(None, packages.split(", ")):
        name, _, planned = package.rpartition(" ")
        try:
            installed = version(name) if name else None
        except PackageNotFoundError:
            installed = None
        if installed != planned:
            raise ConfigurationError(
                f"the trial was planned with package {package!r}, and {platform.node()} has "
                f"{'none' if installed is None else f'version {installed}'}; install {name}=={planned} on every node "
                "(docs/extending.md)"
            )


def _explain(error: ValidationError) -> str:
    """One line with all of pydantic's errors."""

    def explained(problem: Any) -> str:
        cause = problem.get("ctx", {}).get("error")
        name = ".".join(map(str, problem["loc"]))
        value = f"bad value {shortened(problem['input'])} for {name}: {problem['msg'].lower()}"
        return str(cause) if isinstance(cause, ConfigurationError) else value

    return "; ".join(map(explained, error.errors()))
