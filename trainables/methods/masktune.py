"""MaskTune: in the last epoch, images lack the pixels that the model relied on before. No expert masks."""

import copy
from dataclasses import replace

import torch
from pydantic import Field
from torch.nn.functional import interpolate

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.core.shapes import Images, Pixels
from trainables.methods.method import Method
from trainables.methods.parts.grad_cam import grad_cam
from trainables.models import Classifier


class MaskTuneOptions(Options):
    masktune_deviations: float = Field(
        2.0, allow_inf_nan=False, description="pixels this many standard deviations above the map's mean are hidden"
    )


def hot_pixels(model: Classifier, images: Images, deviations: float) -> Pixels:
    """True where the Grad-CAM map of the predicted class exceeds its mean by `deviations` standard deviations (over n).

    The result is resized to the image by the nearest cell. The model must be in evaluation mode.
    """
    last, output = model.with_map(images.detach().requires_grad_())
    heat = grad_cam(output.logits.amax(dim=1), last).detach()
    spread, mean = torch.std_mean(heat, dim=(1, 2), correction=0, keepdim=True)
    hot = heat > mean + deviations * spread
    return interpolate(hot[:, None].to(images.dtype), images.shape[2:], mode="nearest") > 0


class MaskTune(Method):
    """CE(f(x), y); in the last epoch CE(f(x · (1 − H)), y), H the pixels on which the model relied until then.

    H is computed with the weights at the start of the last epoch: Grad-CAM of the predicted class above its mean plus
    `masktune_deviations` standard deviations. A reference without expert masks: it hides whatever the model relies on,
    cue or object. Hidden pixels become zero, which is black. Earlier epochs are exactly the baseline's, so that every
    selection rule scores the last epoch's weights.

    Source: Asgari et al., NeurIPS 2022, arXiv:2210.00055, section 2. Their map is XGrad-CAM, which is Grad-CAM for
    models that are linear in the mean of their last map, as here.
    """

    reads_preset = False
    reads_masks = False
    complete_at_end = True
    Options = MaskTuneOptions
    options: MaskTuneOptions

    first: Classifier | None = None
    """The model at the start of the last epoch; None before."""

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        if config.epochs < 2:
            raise ConfigurationError(
                f"epochs {config.epochs} for method 'masktune', whose last epoch hides pixels that mattered before; "
                "set 2 or more, or choose another method"
            )

    def loss(self, model: Classifier, batch: Batch) -> Loss:
        if self.epoch < self.config.epochs - 1:
            return super().loss(model, batch)
        if self.first is None:
            self.first = copy.deepcopy(model).eval().requires_grad_(False)
        hot = hot_pixels(self.first, batch.images, self.options.masktune_deviations)
        return super().loss(model, replace(batch, images=batch.images.masked_fill(hot, 0.0)))
