"""Logit invariance: an image and its shuffled twin get the same answer. ActDiff in the output space."""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.methods.method import Penalty
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.methods.parts.running_statistics import frozen_running_statistics
from trainables.methods.parts.shuffle import shuffle_outside
from trainables.models import Classifier

Distance = Literal["kl", "l2"]


class LogitInvarianceOptions(Options):
    invariance_distance: Distance = Field(
        "kl", description="between the answers: kl, in nats, or l2, the squared Euclidean distance of the logits"
    )


def answer_distance(
    logits: Float[Tensor, "batch classes"], altered_logits: Float[Tensor, "batch classes"], distance: Distance
) -> Float[Tensor, " batch"]:
    """Of each image: KL(softmax f(x) || softmax f(x~)) in nats, or sum_k (f_k(x) − f_k(x~))^2."""
    if distance == "l2":
        return (logits - altered_logits).square().sum(dim=1)
    log_p, log_q = logits.log_softmax(dim=1), altered_logits.log_softmax(dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


class LogitInvariance(Penalty):
    """CE(f(x), y) + strength · mean_b d(f(x_b), f(x~_b)), x~ with outside pixels permuted; gradients reach both passes.

    The shuffled pass leaves batch normalisation's running statistics alone.

    Source: the invariance term of Ying, Hase & Bansal, NeurIPS 2022 (VisFIS), who alter box features of the
    unimportant regions of an image; here its pixels are shuffled as by ActDiff. VisFIS's other terms are not here.
    """

    reads_preset: ClassVar[bool] = False
    Options = LogitInvarianceOptions
    options: LogitInvarianceOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        shuffled = shuffle_outside(batch.images, outside, batch.rng)
        with frozen_running_statistics(model):
            shuffled_logits = model(shuffled).logits
        logits = model(batch.images).logits
        distances = answer_distance(logits, shuffled_logits, self.options.invariance_distance)
        return Loss(cross_entropy(logits, batch.labels), mean_over(distances, takes_part))
