"""ActDiff: pulls together the features of an image and of a copy with shuffled background."""

from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.shapes import Features, Scalar, TakesPart
from trainables.methods.method import Penalty
from trainables.methods.parts.altered import frozen_running_statistics, shuffle_outside
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier


def actdiff_penalty(features: Features, shuffled_features: Features, takes_part: TakesPart) -> Scalar:
    """Mean over images of || h(x~) − h(x) + 1e-6 ||_2, the L2 norm, not squared; in units of a feature.

    As in the source, 1e-6 keeps the norm differentiable at zero.
    """
    return mean_over((shuffled_features - features + 1e-6).norm(dim=1), takes_part)


class ActDiff(Penalty):
    """CE(f(x), y) + strength · mean_b || h(x~_b) − h(x_b) + 1e-6 ||_2; gradients flow through both passes.

    The shuffled images pass first, then the images, both in train mode; h(x) are the features before the last layer.

    Source: Viviano et al., ICLR 2021, arXiv:1910.00199, row "ActDiff".
    """

    strengths = (1e-2, 1e1)
    draws = True

    @property
    def weight(self) -> float:
        return self.config.strength if self.config.preset == "fixed" else float(self.config.strength > 0)

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        shuffled = shuffle_outside(batch.images, outside, batch.rng)
        with frozen_running_statistics(model, frozen=self.config.preset == "fixed"):
            shuffled_features = model(shuffled).features
        output = model(batch.images)
        return Loss(
            cross_entropy(output.logits, batch.labels),
            actdiff_penalty(output.features, shuffled_features, takes_part),
        )
