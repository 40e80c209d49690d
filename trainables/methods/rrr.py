"""RRR, right for the right reasons: the input gradient of the summed log-probabilities is small outside the mask."""

from trainables.methods.input_gradient_penalty import InputGradientPenalty
from trainables.methods.parts.region import reduced_outside
from trainables.methods.parts.shapes import Images, Labels, Logits, Pixels, Scalar, TakesPart


class RRR(InputGradientPenalty):
    """CE(f(x), y) + strength · (d sum_k log p_k / dx · S)^2, summed (`paper`) or averaged (`fixed`).

    g = d( sum_{b,k} log(p_bk + 1e-11) ) / dx, p = softmax(f). `paper`: sum over batch, channels and pixels of
    (g · S)^2. `fixed`: mean over outside pixels and channels of each image, then over images. The penalty is in (nats
    per unit of pixel value)^2.

    Source: Ross, Hughes & Doshi-Velez, IJCAI 2017, arXiv:1703.03717, the "right reasons" term, in the form of
    Viviano et al., ICLR 2021: the sum is `paper`, and their 1e-11 is in both presets. The original authors' program
    takes half of the sum, by default with weight 1000, and uses weight decay; this one does not. The mean of `fixed` is
    ours.
    """

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        return (logits.softmax(dim=1) + 1e-11).log().sum()

    def size(self, gradient: Images, outside: Pixels, takes_part: TakesPart) -> Scalar:
        return reduced_outside(gradient.square(), outside, takes_part, self.config.preset)
