"""Adversarial: a discriminator should not distinguish an image's features from those of its shuffled copy."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.nn.utils import parametrizations, spectral_norm

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options, TrialConfig
from trainables.core.shapes import Features, Scalar, TakesPart
from trainables.core.streams import stream_seed
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import frozen_running_statistics, shuffle_outside
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier


class AdversarialOptions(Options):
    disc_iter: int = Field(2, ge=1, description="discriminator steps per step of the model")
    disc_width: int = Field(1024, ge=1, description="units in each of the discriminator's three hidden layers")
    disc_lr: float = Field(1e-3, gt=0, allow_inf_nan=False, description="learning rate of the discriminator's Adam")


def discriminator(feature_size: int, width: int, normalise: Callable[[nn.Linear], nn.Module]) -> nn.Sequential:
    """features – width – width – width – 1 with spectral norm and ReLU; the output is the logit of "not shuffled".

    `normalise` is one of torch's two forms of the spectral norm. Both take one power iteration per forward pass in
    train mode, before the weight W is used. The older, `torch.nn.utils.spectral_norm`, starts from random vectors and
    updates v = Wᵀu / |Wᵀu| before u = Wv / |Wv|; the one in `parametrizations` starts with 15 iterations and updates u
    first.
    """
    layers: list[nn.Module] = []
    for inputs in (feature_size, width, width):
        layers += [normalise(nn.Linear(inputs, width)), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def discrimination_loss(
    logits: Float[Tensor, "images 1"], shuffled_logits: Float[Tensor, "images 1"], original_is: float, part: TakesPart
) -> Scalar:
    """BCE(Dn(z), t) + BCE(Dn(z~), 1 − t), means over the images that take part, in nats; t = `original_is`.

    The discriminator learns with t = 1, the model with flipped labels, t = 0. Equal to the paper's binary cross-entropy
    of a sigmoid, which torch clamps at 100 nats; this form needs no clamp.
    """

    def bce(scores: Tensor, target: float) -> Tensor:
        per_image = binary_cross_entropy_with_logits(scores, torch.full_like(scores, target), reduction="none")
        return mean_over(per_image.squeeze(1), part)

    return bce(logits, original_is) + bce(shuffled_logits, 1 - original_is)


class Adversarial(Penalty):
    """Model: CE(f(x), y) + strength · (BCE(Dn(h(x)), 0) + BCE(Dn(h(x~)), 1)), Dn frozen.
    Discriminator: strength · (BCE(Dn(h(x)), 1) + BCE(Dn(h(x~)), 0)), features detached, own Adam(disc_lr).

    Under preset `paper` batches of validation and test images count too (`Method.end_epoch`), so that the phase of the
    model's steps drifts.

    Source: Viviano et al., ICLR 2021, row "Adversarial", whose program is `paper`; spectral norm: Miyato et al., ICLR
    2018.
    """

    stops_gradient = True
    strengths = (1e-2, 1e1)
    draws = True
    paper_revision = 2
    Options = AdversarialOptions
    options: AdversarialOptions

    def __init__(self, config: TrialConfig, feature_size: int):
        super().__init__(config, feature_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed("discriminator", config.seed))
            normalise = spectral_norm if config.preset == "paper" else parametrizations.spectral_norm
            self.discriminator = discriminator(feature_size, self.options.disc_width, normalise)
        self.to(torch.device("cpu"))
        self.batches_seen = 0

    @classmethod
    def contract_settings(cls, model: str) -> dict[str, Any]:
        return {"disc_iter": 1, "disc_width": 16}

    def to(self, device: torch.device) -> None:
        self.discriminator.to(device)
        # The optimiser loads its state onto the device of its parameters.
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=self.options.disc_lr)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        paper = self.config.preset == "paper"
        self.batches_seen += 1
        updates_model = not paper or self.batches_seen % self.options.disc_iter == 0

        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        shuffled = shuffle_outside(batch.images, outside, batch.rng)
        with torch.set_grad_enabled(updates_model):
            with frozen_running_statistics(model, frozen=not paper):
                z_shuffled = model(shuffled).features
            output = model(batch.images)

        for _ in range(1 if paper else self.options.disc_iter):
            self.optimizer.zero_grad()
            loss = self._loss(output.features.detach(), z_shuffled.detach(), 1.0, takes_part)
            (self.weight * loss).backward()
            self.optimizer.step()

        self.discriminator.requires_grad_(False)
        penalty = self._loss(output.features, z_shuffled, 0.0, takes_part)
        self.discriminator.requires_grad_(True)
        return Loss(cross_entropy(output.logits, batch.labels), penalty, updates_model)

    def _loss(self, features: Features, shuffled: Features, original_is: float, takes_part: TakesPart) -> Scalar:
        return discrimination_loss(self.discriminator(features), self.discriminator(shuffled), original_is, takes_part)

    def end_epoch(self, evaluation_batches: int) -> None:
        if self.config.preset == "paper":
            self.batches_seen += evaluation_batches

    def state_dict(self) -> dict[str, Any]:
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches_seen": self.batches_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches_seen = state["batches_seen"]
