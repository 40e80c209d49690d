"""RRR, right for the right reasons: the input gradient of the summed log-probabilities is small outside the mask."""

from trainables.core.departure import Departure
from trainables.methods.input_gradient_penalty import SUMMED, InputGradientPenalty
from trainables.methods.parts.region import MASKLESS
from trainables.methods.parts.shapes import Labels, Logits, Scalar


class RRR(InputGradientPenalty):
    """CE(f(x), y) + strength · (d sum_k log p_k / dx · S)^2, summed (`paper`) or averaged (`fixed`).

    g = d( sum_{b,k} log(p_bk + 1e-11) ) / dx, p = softmax(f). The penalty is in (nats per unit of pixel value)^2.

    Source: Ross, Hughes & Doshi-Velez, IJCAI 2017, arXiv:1703.03717, the "right reasons" term, in the form of
    Viviano et al., ICLR 2021, with their 1e-11.
    """

    departures = (
        SUMMED,
        MASKLESS,
        Departure(
            "the program of Ross et al. takes half of the sum, by default with weight 1000, and weight decay",
            "the whole of it, as Viviano et al. do, without weight decay",
            "half the strength; none for weight decay",
        ),
    )

    def score(self, logits: Logits, labels: Labels) -> Scalar:
        return (logits.softmax(dim=1) + 1e-11).log().sum()
