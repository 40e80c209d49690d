"""GradMask: the input gradient of the contrast between classes is small outside the mask."""

from torch.nn.functional import one_hot

from trainables.core.departure import Departure
from trainables.methods.input_gradient_penalty import SUMMED, InputGradientPenalty
from trainables.methods.parts.region import MASKLESS, reduced_outside
from trainables.methods.parts.shapes import Images, Labels, Logits, PerImage, Pixels, Scalar, TakesPart


def class_contrast(logits: Logits, labels: Labels) -> PerImage:
    """| f_0 − f_1 | with two classes; | f_y − mean of the other logits | with more (ours; equal for two)."""
    true = one_hot(labels, logits.shape[1]).to(logits.dtype)
    others = (1 - true) / (logits.shape[1] - 1)
    return ((true - others) * logits).sum(dim=1).abs()


class GradMask(InputGradientPenalty):
    """CE(f(x), y) + strength · | d( |f_0 − f_1| )/dx · S |, summed (`paper`) or averaged (`fixed`).

    g = d( sum_b | f_0 − f_1 |_b ) / dx: with batch normalisation in train mode an image's gradient also contains its
    influence on the others' scores. The penalty is in logits per unit of pixel value.

    Source: Simpson et al., MIDL 2019, arXiv:1904.07478, in the form of Viviano et al., ICLR 2021.
    """

    departures = (
        SUMMED,
        MASKLESS,
        Departure(
            "two classes",
            "with more, the contrast is | f_y − mean of the other logits |, which is equal for two",
            "none needed",
        ),
    )

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        return class_contrast(logits, labels).sum()

    def size(self, gradient: Images, outside: Pixels, takes_part: TakesPart) -> Scalar:
        return reduced_outside(gradient.abs(), outside, takes_part, self.config.preset)
