"""Networks of timm and torchvision by their library's names, and the user's own by import path.

Libraries are imported on first use: timm takes a second, and most trials need neither.
"""

import importlib
import os
import sys
from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from trainables.core.errors import ConfigurationError, did_you_mean, shortened
from trainables.models.adapted import Adapted, Standard
from trainables.models.classifier import Inputs

State = dict[str, Tensor]


class Library(ABC):
    """Where networks come from. A name is that of the library, without the prefix."""

    @abstractmethod
    def check(self, name: str) -> None:
        """Raise ConfigurationError if there is no network of this name. Builds nothing."""

    def names(self) -> list[str]:
        """All names; none where they cannot be listed."""
        return []

    @abstractmethod
    def build(self, name: str, inputs: Inputs) -> Adapted:
        """The network, with weights drawn from torch's global generator."""

    def published(self, name: str) -> str:
        """The name of the pretrained weights that the library publishes for the network; empty without any."""
        return ""

    def place(self, name: str) -> str:
        """The file of these weights, and where it is looked for."""
        raise NotImplementedError

    def download(self, name: str, inputs: Inputs) -> State:
        """These weights, from the library's cache or its server."""
        raise NotImplementedError


class Timm(Library):
    def names(self) -> list[str]:
        import timm

        return timm.list_models()

    def check(self, name: str) -> None:
        import timm

        architecture, _, tag = name.partition(".")
        if not timm.is_model(architecture):
            raise _unknown("timm", name, architecture, self.names())
        tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
        if tag and tag not in tags:
            raise _unknown("timm", name, name, [f"{architecture}.{tag}" for tag in tags] or [architecture])

    def build(self, name: str, inputs: Inputs) -> Adapted:
        import timm

        cfg = timm.get_pretrained_cfg(name)
        standard = Standard(tuple(cfg.mean), tuple(cfg.std)) if cfg else Standard(GREY, GREY)
        network = timm.create_model(name, num_classes=inputs.classes, **self._size(name, inputs))
        return Adapted(network, inputs, standard, f"timm:{name}", bool(cfg and cfg.fixed_input_size))

    def published(self, name: str) -> str:
        import timm

        cfg = timm.get_pretrained_cfg(name)
        return f"timm:{cfg.architecture}.{cfg.tag}" if cfg and (cfg.hf_hub_id or cfg.url) else ""

    def place(self, name: str) -> str:
        import timm
        from huggingface_hub.constants import HF_HUB_CACHE

        cfg: Any = timm.get_pretrained_cfg(name)
        return f"model.safetensors of {cfg.hf_hub_id or cfg.url} on the Hugging Face hub, cached in {HF_HUB_CACHE}"

    def download(self, name: str, inputs: Inputs) -> State:
        import timm
        from huggingface_hub import constants, get_session

        try:
            get_session().head(constants.ENDPOINT, timeout=PATIENCE)
        except Exception:
            # Only the cache. Otherwise the hub's library tries each file again and again for half a minute.
            constants.HF_HUB_OFFLINE = True
        return dict(timm.create_model(name, pretrained=True, **self._size(name, inputs)).state_dict())

    def _size(self, name: str, inputs: Inputs) -> dict[str, Any]:
        import timm

        cfg = timm.get_pretrained_cfg(name)
        return {"img_size": inputs.side} if cfg and cfg.fixed_input_size else {}


class TorchVision(Library):
    def names(self) -> list[str]:
        from torchvision import models

        return models.list_models(module=models)

    def check(self, name: str) -> None:
        if name not in (names := self.names()):
            raise _unknown("torchvision", name, name, names)

    def build(self, name: str, inputs: Inputs) -> Adapted:
        from torchvision.models import get_model

        transform = self._weights(name).transforms()
        standard = Standard(tuple(transform.mean), tuple(transform.std))
        fixed = name.startswith("vit")
        size = {"image_size": inputs.side} if fixed else {}
        # GoogLeNet and Inception would add outputs, and draw their weights for minutes.
        auxiliary = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
        network = get_model(name, weights=None, num_classes=inputs.classes, **size, **auxiliary)
        return Adapted(network, inputs, standard, f"torchvision:{name}", fixed)

    def published(self, name: str) -> str:
        return f"torchvision:{self._weights(name)}"

    def place(self, name: str) -> str:
        from torch.hub import get_dir

        return f"{self._weights(name).url}, cached in {os.path.join(get_dir(), 'checkpoints')}"

    def download(self, name: str, inputs: Inputs) -> State:
        return dict(self._weights(name).get_state_dict(progress=False, check_hash=True, weights_only=True))

    def _weights(self, name: str) -> Any:
        from torchvision.models import get_model_weights

        return get_model_weights(name).DEFAULT


class Own(Library):
    """A function of the user's, "module:function": of the number of classes, returning a network from pixel values to
    logits."""

    def check(self, name: str) -> None:
        self._function(name)

    def build(self, name: str, inputs: Inputs) -> Adapted:
        network = self._function(name)(inputs.classes)
        if not isinstance(network, nn.Module):
            raise ConfigurationError(f"model {name!r} returns {shortened(network)}; it must return an nn.Module")
        return Adapted(network, inputs._replace(limits=(0.0, 1.0)), Standard(), name, fixed_side=True)

    def _function(self, name: str) -> Any:
        module_name, _, attribute = name.partition(":")
        if os.getcwd() not in sys.path:
            # Ray's workers lack it.
            sys.path.append(os.getcwd())
        try:
            function = getattr(importlib.import_module(module_name), attribute)
        except Exception as error:
            raise ConfigurationError(
                f"model {name!r} cannot be imported: {type(error).__name__}: {error}; write module:function, with the "
                "module in the working directory or installed"
            ) from error
        if not callable(function):
            raise ConfigurationError(f"model {name!r} is {shortened(function)}; it must be a function of classes")
        return function


PATIENCE = 10
"""Seconds until the hub counts as unreachable."""
GREY = (0.5, 0.5, 0.5)
"""Mean and deviation of the channels where timm says nothing."""


def _unknown(library: str, name: str, close_to: str, allowed: list[str]) -> ConfigurationError:
    shown = ", ".join(allowed[:5])
    return ConfigurationError(
        f"unknown model '{library}:{name}'; {did_you_mean(close_to, allowed)}{library} has {len(allowed)}: {shown}"
        f"{', …' if len(allowed) > 5 else ''}"
    )
