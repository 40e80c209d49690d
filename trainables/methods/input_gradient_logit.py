"""The input gradient of the true class's logit is small outside the mask."""

from trainables.core.departure import Departure
from trainables.methods.input_gradient_penalty import InputGradientPenalty
from trainables.methods.parts.region import mean_over
from trainables.methods.parts.shapes import Images, Labels, Logits, Pixels, Scalar, TakesPart


class InputGradientLogit(InputGradientPenalty):
    """CE(f(x), y) + strength · mean (d f_y / dx · S)^2: RRR on the raw logit of the true class.

    g = d( sum_b f_{y_b} ) / dx. The penalty is in (logits per unit of pixel value)^2.

    Source: Chang, Adam & Goldenberg, CVPR 2021 ("Towards Robust Classification Model by Counterfactual and Invariant
    Data Generation"), their saliency regularisation "Sal".
    """

    departures = (
        Departure(
            "the mean runs over all pixels of the images that have a mask",
            "over their outside pixels, so that the size of the mask does not matter",
            "`preset=paper` with `empty_mask=skip`",
        ),
        Departure(
            "variants replace the square by a soft F1 score or a cosine",
            "only the square",
            "none",
        ),
    )

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        return logits.gather(1, labels[:, None]).sum()

    def size(self, gradient: Images, outside: Pixels, takes_part: TakesPart) -> Scalar:
        if self.config.preset == "paper":
            return mean_over((gradient * outside).square().flatten(1).mean(dim=1), takes_part)
        return super().size(gradient, outside, takes_part)
