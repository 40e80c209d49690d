"""Altered copies of images, and how a method trains on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.core.shapes import Images, Labels, Logits, PerImage, Pixels, Scalar, TakesPart
from trainables.methods.parts.region import mean_over
from trainables.models import Classifier

Distance = Literal["kl", "l2"]


def shuffle_outside(images: Images, outside: Pixels, rng: torch.Generator) -> Images:
    """Permute each image's outside pixels uniformly at random; inside pixels stay.

    Each image has its own permutation, and the channels of a pixel move together. The result is detached. `rng` is a
    CPU generator.

    Source: the shuffle of Viviano et al., ICLR 2021 (ActDiff and its control).
    """
    _, channels, height, width = images.shape
    draw = torch.rand(len(images), height * width, generator=rng).to(images.device)
    flat = images.detach().flatten(2)
    out = outside.flatten(1)
    index = torch.arange(height * width, device=images.device)
    # Sources: outside pixels in random order, then inside pixels in order.
    # Targets: outside pixels in order, then inside pixels in order.
    order = torch.where(out, draw, 2.0 + index).argsort(dim=1)
    place = (~out).to(torch.uint8).argsort(dim=1, stable=True)
    moved = flat.gather(2, order[:, None, :].expand(-1, channels, -1))
    return torch.empty_like(flat).scatter_(2, place[:, None, :].expand(-1, channels, -1), moved).view_as(images)


def uniform_noise(images: Images, rng: torch.Generator) -> Images:
    """Draw independent values for each pixel and channel, uniform over the range of that image's channel."""
    low = images.detach().amin(dim=(2, 3), keepdim=True)
    high = images.detach().amax(dim=(2, 3), keepdim=True)
    draw = torch.rand(images.shape, generator=rng, dtype=images.dtype).to(images.device)
    return low + (high - low) * draw


@contextmanager
def frozen_running_statistics(model: nn.Module, frozen: bool = True) -> Iterator[None]:
    """Within the block, train-mode batch normalisation uses batch statistics without recording them.

    With `frozen=False` the block changes nothing. The model is restored after an error too.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats] if frozen else []
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Within the block the model is in evaluation mode; its mode is restored afterwards, after an error too."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def altered_cross_entropy(model: Classifier, altered: Images, labels: Labels, takes_part: TakesPart) -> Scalar:
    """Mean of CE(f(x~), y) over the images that take part, in nats.

    The altered images form a separate batch that leaves batch normalisation's running statistics alone.
    """
    with frozen_running_statistics(model):
        logits = model(altered).logits
    return mean_over(cross_entropy(logits, labels, reduction="none"), takes_part)


def answer_distance(logits: Logits, altered_logits: Logits, distance: Distance) -> PerImage:
    """KL(softmax f(x) || softmax f(x~)) in nats, or sum_k (f_k(x) − f_k(x~))^2, of each image."""
    if distance == "l2":
        return (logits - altered_logits).square().sum(dim=1)
    log_p, log_q = logits.log_softmax(dim=1), altered_logits.log_softmax(dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
