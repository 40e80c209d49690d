"""Logit invariance: an image and its shuffled copy get the same answer. ActDiff in the output space."""

from pydantic import Field
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options
from trainables.core.departure import Departure
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import Distance, answer_distance, frozen_running_statistics, shuffle_outside
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier


class LogitInvarianceOptions(Options):
    invariance_distance: Distance = Field(
        "kl", description="between the answers: kl, in nats, or l2, the squared Euclidean distance of the logits"
    )


class LogitInvariance(Penalty):
    """CE(f(x), y) + strength · mean_b d(f(x_b), f(x~_b)), x~ with outside pixels permuted; gradients reach both passes.

    The shuffled pass leaves batch normalisation's running statistics alone.

    Source: the invariance term of Ying, Hase & Bansal, NeurIPS 2022 (VisFIS).
    """

    departures = (
        Departure(
            "box features of the unimportant regions of an image are altered",
            "outside pixels are shuffled, as in ActDiff",
            "none",
        ),
        Departure(
            "further terms require that the region suffices, uncertainty without it, and aligned maps",
            "only the invariance term",
            "none",
        ),
    )
    reads_preset = False
    strengths = (1e-2, 1e1)
    draws = True
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
