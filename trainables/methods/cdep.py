"""CDEP: by contextual decomposition, the outside contributes less to the logits than the mask does."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainables.core.batch import Batch, Loss
from trainables.core.shapes import Images, Pixels
from trainables.methods.method import Penalty
from trainables.methods.parts.layer_walk import Affine, Rules, apply, scale_and_shift, walk
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier

SMALL = 1e-6
"""Added to |beta| + |gamma| in the denominator, so that shares have a gradient where both are zero."""


class Parts(NamedTuple):
    """Activations as a sum of two parts: `beta` from the pixels outside, `gamma` from all others."""

    beta: Float[Tensor, "batch *shape"]
    gamma: Float[Tensor, "batch *shape"]

    @property
    def total(self) -> Float[Tensor, "batch *shape"]:
        return self.beta + self.gamma


class DecompositionRules(Rules[Parts]):
    """Both parts after each layer; they sum to the layer's output for the sum.

    A bias is divided in proportion to |W beta| and |W gamma|. After ReLU, beta is relu(beta) and gamma the rest. Batch
    normalisation is an affine map by the statistics of the sum.

    Source: Singh, Murdoch & Yu, ICLR 2019, arXiv:1806.05337, section 3.1.
    """

    def affine(self, layer: Affine, state: Parts) -> Parts:
        parts = Parts(*(apply(layer, part, layer.weight, None) for part in state))
        if layer.bias is None:
            return parts
        bias = layer.bias if isinstance(layer, nn.Linear) else layer.bias[:, None, None]
        return _with_bias(parts, bias)

    def batch_norm(self, layer: nn.BatchNorm2d, state: Parts) -> Parts:
        scale, shift = scale_and_shift(layer, state.total)
        total = layer(state.total)
        beta = _with_bias(Parts(scale * state.beta, scale * state.gamma), shift).beta
        return Parts(beta, total - beta)

    def relu(self, state: Parts) -> Parts:
        beta = state.beta.relu()
        return Parts(beta, state.total.relu() - beta)


def _with_bias(parts: Parts, bias: Tensor) -> Parts:
    share = parts.beta.abs() / (parts.beta.abs() + parts.gamma.abs() + SMALL)
    return Parts(parts.beta + share * bias, parts.gamma + (1 - share) * bias)


def decomposed_logits(model: Classifier, images: Images, outside: Pixels) -> Parts:
    """The logits as the contribution of the pixels outside and the rest."""
    return walk(model, Parts(images * outside, images * ~outside), DecompositionRules())


class CDEP(Penalty):
    """CE(f(x), y) + strength · mean_k softmax([beta_k, gamma_k])_0, f_k = beta_k + gamma_k.

    beta_k is the contribution of the pixels outside to the logit of class k by contextual decomposition, gamma_k the
    rest. The mean runs over classes and over the images that take part and have outside pixels.

    Source: Rieger, Singh, Murdoch & Yu, ICML 2020, arXiv:1909.13584; the form of the penalty is that of their
    experiments on decoys and skin cancer.
    """

    reads_preset = False
    walks_layers = True

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits = decomposed_logits(model, batch.images, outside)
        shares = (logits.beta - logits.gamma).sigmoid().mean(dim=1)
        penalty = mean_over(shares * outside.flatten(1).any(dim=1), takes_part)
        return Loss(cross_entropy(logits.total, batch.labels), penalty)
