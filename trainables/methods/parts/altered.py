"""Cross-entropy of altered twins of the images, for methods that train on them beside the images themselves."""

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.methods.parts.region import mean_over
from trainables.methods.parts.running_statistics import frozen_running_statistics
from trainables.models import Classifier


def altered_cross_entropy(
    model: Classifier,
    altered: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"],
    takes_part: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Mean of CE(f(x~), y) over the images that take part, in nats.

    The pass is a batch of its own: batch normalisation uses its statistics without recording them, so that what is
    used at test time comes from unaltered images. The sources mix both in one batch.
    """
    with frozen_running_statistics(model):
        logits = model(altered).logits
    return mean_over(cross_entropy(logits, labels, reduction="none"), takes_part)
