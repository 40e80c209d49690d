"""Initial weights from a library or a file: tensors alone, without pickled code."""

import hashlib
import io
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from trainables.core.errors import ConfigurationError
from trainables.core.files import Files, absolute, join
from trainables.models import LIBRARIES, Classifier, library_of
from trainables.models.adapted import Adapted
from trainables.models.libraries import Own

RANDOM, PRETRAINED = "random", "pretrained"
SAFETENSORS = ".safetensors"
SUFFIXES = (SAFETENSORS, ".pth", ".pt", ".bin")
NESTED = ("state_dict", "model", "weights")
"""Keys under which training programs keep a network's tensors beside other things."""
SAVE = "save the network's state_dict alone: torch.save(network.state_dict(), 'weights.pth'), or as .safetensors"
LARGEST = 2**33
"""Most bytes of a file."""
DIGEST_LENGTH = 16
NOT_NEEDED = "num_batches_tracked"
"""The end of names that a file may lack: counters of batch normalisation."""
State = Mapping[str, Tensor]


def full_name(weights: str) -> str:
    """`weights` with an absolute path, so that it means the same in every process."""
    return weights if weights in (RANDOM, PRETRAINED) else absolute(weights)


def digest_of(model: str, weights: str) -> str:
    """What identifies the weights in a trial's key: a hash of the file, or the library's name of them.

    Raises:
        ConfigurationError: there is no such file, or the library publishes no weights for the model.
    """
    if weights == RANDOM:
        return ""
    if weights != PRETRAINED:
        files = Files(weights, LARGEST)
        digest = files.digest(_location(weights))[:DIGEST_LENGTH]
        files.keep_digests()
        return digest
    of_library = library_of(model)
    published = of_library[0].published(of_library[1]) if of_library else ""
    if not published:
        raise ConfigurationError(
            f"weights 'pretrained' for model {model!r}, for which no library publishes any; choose a network of "
            f"{' or '.join(LIBRARIES)} that has them, or weights=FILE"
        )
    return published


def load_weights(model: Classifier, name: str, weights: str, digest: str, keep_head: bool) -> None:
    """Copy the weights of this digest into the model `name`. The head stays as it is unless `keep_head`.

    Names in a file may be those of the library's network, with the head under its name there, or those of the model.

    Raises:
        ConfigurationError: there are no such weights, or they do not fit; the message names tensors and sizes.
    """
    if weights == RANDOM:
        return
    state = _pretrained(model, name) if weights == PRETRAINED else _state(_location(weights), digest)
    source = f"weights {weights!r}"
    names = _names_in_files(model)
    if not names.keys() & state.keys():
        names = {ours: ours for ours in names.values()}
    wanted = {theirs: ours for theirs, ours in names.items() if keep_head or not ours.startswith("head.")}
    own = model.state_dict()
    lacking = [theirs for theirs in wanted if theirs not in state and not theirs.endswith(NOT_NEEDED)]
    if lacking:
        other = [theirs for theirs in state if theirs not in names]
        raise ConfigurationError(
            f"{source} are not of model {name!r}: {len(lacking)} of its {len(wanted)} tensors are missing, such as "
            f"{lacking[0]!r}" + (f", and the file has {len(other)} others, such as {other[0]!r}" if other else "")
        )
    loaded = {ours: state[theirs] for theirs, ours in wanted.items() if theirs in state}
    for ours, tensor in loaded.items():
        if tensor.shape != own[ours].shape:
            there, here = (" x ".join(map(str, shape)) for shape in (tensor.shape, own[ours].shape))
            fix = "set image_size to that of the weights" if model.side else "give weights of this network"
            if ours.startswith("head."):
                fix = "leave keep_head at false for a new head"
            raise ConfigurationError(f"{source} do not fit model {name!r}: {ours} is {there} there, {here} here; {fix}")
    with torch.no_grad():
        for ours, tensor in loaded.items():
            own[ours].copy_(tensor)


def _names_in_files(model: Classifier) -> dict[str, str]:
    """Names of the model's tensors by their names in its library's files."""
    if not isinstance(model, Adapted):
        return {name: name for name in model.state_dict()}

    def theirs(name: str) -> str:
        part, _, rest = name.partition(".")
        return f"{model.head_path}.{rest}" if part == "head" else rest

    return {theirs(name): name for name in model.state_dict()}


def _pretrained(model: Classifier, name: str) -> State:
    library, library_name = library_of(name) or (Own(), name)
    try:
        return library.download(library_name, model.made_for)
    except Exception as error:
        raise ConfigurationError(
            f"weights 'pretrained' of model {name!r} cannot be read: {type(error).__name__}; looked for "
            f"{library.place(library_name)}; without internet, download this file elsewhere and give it as weights=FILE"
        ) from error


@lru_cache(maxsize=1)
def _state(location: str, digest: str) -> State:
    """The tensors of a file with this digest, by name."""
    files = Files(location, LARGEST)
    data = files.read(location)
    if hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH] != digest:
        raise ConfigurationError(f"{location} has changed since the trial was planned; give the same command again")
    try:
        content: Any
        if location.endswith(SAFETENSORS):
            content = load_safetensors(data)
        else:
            with warnings.catch_warnings(action="ignore"):  # of old pickles
                content = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except UnpicklingError as error:
        # torch's own message says how to run the code in the file.
        raise ConfigurationError(f"{location} has more than tensors in it, and may run code; {SAVE}") from error
    except Exception as error:  # damaged bytes can raise anything in torch
        reason = "".join(str(error).strip().splitlines()[:1])
        raise ConfigurationError(
            f"{location} cannot be read as tensors alone ({type(error).__name__}: {reason}); {SAVE}"
        ) from error
    nested = [content[key] for key in NESTED if isinstance(content, Mapping) and key in content]
    state = (nested or [content])[0]
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ConfigurationError(f"{location} holds something other than tensors by name; {SAVE}")
    return {name.removeprefix("_orig_mod.").removeprefix("module."): tensor for name, tensor in state.items()}


def _location(weights: str) -> str:
    """The location of the weights: a file or s3://bucket/key, or in a folder its only file of weights."""
    files = Files(weights, LARGEST)
    if Path(weights).suffix in SUFFIXES:
        return weights
    names = [name for name in files.names(weights) if Path(name).suffix in SUFFIXES]
    if len(names) != 1:
        raise ConfigurationError(
            f"weights {weights!r}: {len(names)} files in this folder end in {', '.join(SUFFIXES)}, and one is needed; "
            "give random, pretrained, or a file, folder or s3://bucket/key of tensors"
        )
    return join(weights, names[0])
