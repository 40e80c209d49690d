"""A finished trial with its model: trained here by `run_trial`, or read from a sweep by `load_model`."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from records import SweepRecords, open_storage
from records.arrays import LARGEST_ARCHIVE, Arrays, open_archive
from records.storage import default_location
from records.store import MAPS, WEIGHTS, Record, as_written
from trainables.core.config import TrialConfig, settings_of
from trainables.core.errors import ConfigurationError
from trainables.core.picture import picture_of
from trainables.core.process import as_in_a_sweep, use_gpu
from trainables.datasets import Split
from trainables.models import Classifier
from trainables.models.initialise import initialise
from trainables.saliency.attribution.attribution import Logits
from trainables.trial.data import check_trial_data, images_of, load_splits
from trainables.trial.evaluate import evaluate, probes
from trainables.trial.explain import localise
from trainables.trial.network import check_network
from trainables.trial.resolve import resolve
from trainables.trial.training import Training
from trainables.trial.trial import Trial

MOST_CHANNELS, MOST_CLASSES = 1024, 2**16
"""Sizes of a model up to which weights.pt is believed."""


@dataclass(frozen=True, repr=False)
class FinishedTrial:
    """A trial's record, its model with the selected weights, its maps and its data."""

    config: TrialConfig
    record: Record
    model: Classifier
    """In evaluation mode; maps images to an `Output` of logits and features."""
    maps: Mapping[str, np.ndarray]
    """The arrays of maps.npz, see `Localised.arrays`: `test_ood.map.integrated_gradients` and the like."""

    @property
    def splits(self) -> Mapping[str, Split]:
        """The five splits by name, on the processor, loaded on first use.

        Raises:
            ConfigurationError: the image files are missing or have changed.
        """
        return load_splits(self.config)[0]

    @property
    def logits(self) -> Logits:
        """The model as other libraries expect it: from images to logits."""
        return Logits(self.model).eval()

    def score(self) -> dict[str, Any]:
        """The record's scores, recomputed: performance, probes, and localisation of new maps."""
        config = self.config
        splits, classes = load_splits(config)
        with as_in_a_sweep():
            scores = evaluate(self.model, splits, config.preset)
            scores |= probes(self.model, splits["test_id"], config.data_seed, config.preset)
            return {**scores, **localise(self.model, splits, classes, config).scores}

    def picture(self) -> Image.Image:
        """Images of both test splits beside their maps, as in saliency.png."""
        return Image.open(io.BytesIO(picture_of(self.record, self.maps)))

    def __repr__(self) -> str:
        return f"<FinishedTrial: {type(self.model).__name__} and {len(self.maps)} arrays of {self.record!r}>"


def run_trial(*, device: str = "cpu", **settings: Any) -> FinishedTrial:
    """Train and score one trial here, without Ray, storage or MLflow.

    The record is the same as in a sweep on this machine, bit for bit, except for times, host and the sweep's name. The
    trial uses one thread, as in a sweep.

    Args:
        device: "cpu" or "cuda"; a GPU becomes deterministic for the whole process.
        settings: the flat settings of `trainables.resolve`, such as method="actdiff", strength=1.0.

    Raises:
        ConfigurationError: a bad setting, or data that cannot be used.
        DivergedError: a loss that is not finite.
    """
    config = resolve(settings)
    check_trial_data(config)
    check_network(config)
    if torch.device(device).type == "cuda":
        use_gpu(1.0)
    training = Training((config,), device)
    with as_in_a_sweep():
        trial = training.started()
        while not trial.finished:
            training.train_epoch()
        record, localised = training.score(config)
    return FinishedTrial(config, as_written(record), trial.model, localised.arrays)


def load_model(
    sweep: str, trial_key: str, *, storage: str | Path | None = None, device: str = "cpu", **elsewhere: Any
) -> FinishedTrial:
    """Read a trial of a sweep that ran with --keep-weights, with its model and its data.

    Weights are read with `torch.load(weights_only=True)`, arrays without pickle.

    Args:
        sweep: the sweep's name.
        trial_key: from the trial's record or the table.
        storage: a folder or s3://bucket/prefix; None for SWEEP_STORAGE, or `sweeps` if that is not set.
        device: for the model.
        elsewhere: where the images are now if they have moved: dataset="folder:PATH" or root=PATH.

    Raises:
        StorageError: the storage cannot be read.
        ConfigurationError: there is no such trial, its weights were not kept, weights or maps are damaged, or this
            version would train another trial. Other images than the trial's are noticed when `splits` reads them.
    """
    records = SweepRecords(open_storage(default_location() if storage is None else storage), sweep)
    trial = f"trial {trial_key} of {records.location}"
    try:
        record = records.read(trial_key)
    except ValueError as error:
        raise ConfigurationError(f"the record of {trial}: {error}") from None
    if record is None:
        raise ConfigurationError(
            f"no trial {trial_key!r} in {records.location}, which has {len(records.done())} trials; take a trial_key "
            "from its records or its table, and check sweep and storage"
        )
    settings = settings_of(record)
    config = resolve(settings | elsewhere)
    if config.trial_key != trial_key:
        fix = f"{', '.join(elsewhere)} must be of the same images" if elsewhere else "use that version"
        raise ConfigurationError(
            f"{trial}, made by version {record['code_version']}, is another trial here ({config.trial_key}); {fix}"
        )
    data = records.read_artifact(trial_key, WEIGHTS)
    if data is None and record["status"] != "completed":
        raise ConfigurationError(f"{trial} {record['status']}, and has no weights; its record says why")
    if data is None:
        fields = TrialConfig.model_fields
        call = ", ".join(f"{k}={v!r}" for k, v in settings.items() if k not in fields or v != fields[k].default)
        raise ConfigurationError(
            f"{trial} has no weights: it ran without --keep-weights, or was not the best of its configuration; train "
            f"it again by trainables.run_trial({call})"
        )
    arrays = records.read_artifact(trial_key, MAPS, LARGEST_ARCHIVE)
    try:
        maps = {} if arrays is None else dict(Arrays(arrays))
    except ValueError as error:
        raise _unusable(MAPS, trial_key, error) from error
    return FinishedTrial(config, record, unpack_weights(data, config, device), maps)


class _Packed(BaseModel):
    """What weights.pt holds."""

    model_config = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
    trial_key: str
    channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)]
    weights: dict[str, Tensor]


def _unusable(file: str, trial_key: str, error: Exception) -> ConfigurationError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ConfigurationError(
        f"{file} of trial {trial_key} cannot be used ({reason}); trainables.run_trial trains it again"
    )


def pack_weights(trial: Trial, config: TrialConfig) -> bytes:
    """The weights that `config` selects, as the artifact `weights.pt`: a torch file of plain tensors."""
    content = {
        "trial_key": config.trial_key,
        "channels": trial.splits["train"].images.shape[1],
        "classes": trial.classes,
        "weights": {name: tensor.cpu() for name, tensor in trial.selected(config).weights.items()},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def unpack_weights(data: bytes, config: TrialConfig, device: str = "cpu") -> Classifier:
    """The model of `pack_weights`, in evaluation mode.

    Raises:
        ConfigurationError: the bytes are damaged or belong to another trial.
    """
    try:
        open_archive(data, len(data))  # torch does not compress
        content = _Packed.model_validate(torch.load(io.BytesIO(data), weights_only=True, map_location=device))
        if content.trial_key != config.trial_key:
            raise ValueError(f"it belongs to trial {content.trial_key}")
        model = initialise(config.model, content.channels, content.classes, config.seed, *images_of(config))
        # Assigned, not copied: the layout in memory stays that of the training, and results depend on it.
        model.load_state_dict(content.weights, assign=True)
    except Exception as error:  # damaged bytes can raise anything in torch
        raise _unusable(WEIGHTS, config.trial_key, error) from error
    return model.to(device).eval()
