"""Penalties on a map of what the model looks at, most of them on Grad-CAM of the trunk's last map."""

from typing import Literal

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy, interpolate

from trainables.core.batch import Batch, Loss
from trainables.core.config import Options, Preset
from trainables.core.shapes import Cells, Images, Logits, Maps, Pixels, Scalar, TakesPart
from trainables.methods.method import Penalty, images_with_gradient, of_class
from trainables.methods.parts.altered import frozen_running_statistics
from trainables.methods.parts.grad_cam import grad_cam, share_of_cells, signed_grad_cam, unit_range
from trainables.methods.parts.region import mean_over, outside_pixels
from trainables.models import Classifier


def logits_and_grad_cam(model: Classifier, batch: Batch) -> tuple[Logits, Cells]:
    """The logits, and Grad-CAM of the true class at the resolution of the trunk's last map."""
    last, (logits, _) = model.with_map(images_for_map(model, batch))
    return logits, grad_cam(of_class(logits, batch.labels), last)


def images_for_map(model: Classifier, batch: Batch) -> Images:
    """The batch's images, with a gradient if layers are frozen, as Grad-CAM differentiates with respect to the map."""
    return images_with_gradient(batch) if model.frozen else batch.images


class EnergyOptions(Options):
    energy_map: Literal["input_x_gradient", "grad_cam"] = Field(
        "input_x_gradient",
        description="map of the true class's logit: the positive part of image times input gradient, summed over "
        "channels, or Grad-CAM of the trunk's last map",
    )


def energy_penalty(maps: Cells, outside: Cells, takes_part: TakesPart) -> Scalar:
    """Mean over images of sum(A · S) / sum(A), in [0, 1], for maps A >= 0; an all-zero map contributes zero.

    Equals the source's 1 − sum(A · M) / sum(A) for a map that is not all zero.
    """
    total = maps.sum(dim=(1, 2))
    share = (maps * outside).sum(dim=(1, 2)) / torch.where(total > 0, total, torch.ones_like(total))
    return mean_over(share, takes_part)


class Energy(Penalty):
    """CE(f(x), y) + strength · (1 − sum(A · M) / sum(A)), A the positive part of an attribution of f_y.

    An image without a mask contributes the constant 1 under the policy `outside`, without a gradient.

    A is input x gradient at the input (default) or Grad-CAM of the last map, where S is the share of a cell's pixels
    outside. The penalty is a share of each image's map, so that presets do not differ.

    Source: Rao et al., ICCV 2023 (energy loss).
    """

    idea = "Energy: the share of positive attribution outside the mask is small."
    reads_preset = False
    second_order = True
    strengths = (1e-2, 1e1)
    Options = EnergyOptions
    options: EnergyOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        if self.options.energy_map == "grad_cam":
            logits, maps = logits_and_grad_cam(model, batch)
        else:
            images = images_with_gradient(batch)
            logits = model(images).logits
            score = of_class(logits, batch.labels).sum()
            (gradient,) = torch.autograd.grad(score, images, create_graph=True)
            maps = (images * gradient).sum(dim=1).relu()
        penalty = energy_penalty(maps, share_of_cells(outside, maps), takes_part)
        return Loss(cross_entropy(logits, batch.labels), penalty)


def resemblance_error(maps: Cells, outside: Pixels, takes_part: TakesPart) -> Scalar:
    """Mean over cells of (A − M)^2, in [0, 1], then over images; for maps in [0, 1].

    M is the share of a cell's pixels inside the mask, scaled to [0, 1] like A, so that a mask smaller than a cell can
    be matched. An image without outside pixels contributes zero; one without a mask has M = 0 under the policy
    `outside`.
    """
    error = (maps - unit_range(share_of_cells(~outside, maps))).square().mean(dim=(1, 2))
    return mean_over(error * outside.flatten(1).any(dim=1), takes_part)


class HINT(Penalty):
    """CE(f(x), y) + strength · MSE(norm01(Grad-CAM of the true class), norm01(M)), both at the last map's resolution.

    Source: Selvaraju et al., ICCV 2019, in a simple form.
    """

    idea = "HINT: the Grad-CAM map of the true class resembles the mask."
    reads_preset = False

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits, maps = logits_and_grad_cam(model, batch)
        return Loss(cross_entropy(logits, batch.labels), resemblance_error(unit_range(maps), outside, takes_part))


class GAINOptions(Options):
    gain_mining_weight: float = Field(1.0, ge=0, allow_inf_nan=False, description="alpha, weight of the mining term")
    gain_map_weight: float = Field(
        10.0, ge=0, allow_inf_nan=False, description="w, weight of the map's distance to the mask"
    )
    gain_slope: float = Field(10.0, gt=0, allow_inf_nan=False, description="omega, slope of the soft threshold")
    gain_threshold: float = Field(0.5, ge=0, le=1, description="sigma, the threshold on the map's range [0, 1]")


def without_attended(images: Images, maps: Maps, options: GAINOptions) -> Images:
    """x − T(A) · x, T(A) = sigmoid(omega · (A − sigma))."""
    attended = (options.gain_slope * (maps - options.gain_threshold)).sigmoid()
    return images - attended[:, None] * images


class GAIN(Penalty):
    """CE(f(x), y) + strength · (alpha · p_y(x − T(A) · x) + w · MSE(A, M)), A the Grad-CAM map of the true class.

    A is resized to the image (bilinear) and scaled to [0, 1]; gradients reach it through both terms. Attended pixels
    become zero, as in the source. MSE is a mean over pixels; it is 0 for an image without outside pixels, and an image
    without a mask under the policy `outside` has M = 0. The mining pass leaves batch normalisation's running statistics
    alone.

    Source: Li et al., CVPR 2018, the extended form with masks, with its alpha, w, omega and sigma.
    """

    idea = "GAIN, guided attention inference: attention falls on the mask, and without it the class is lost."
    reads_preset = False
    strengths = (1e-2, 1e1)
    Options = GAINOptions
    options: GAINOptions

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        logits, small = logits_and_grad_cam(model, batch)
        size = batch.images.shape[2:]
        maps = unit_range(interpolate(small[:, None], size, mode="bilinear", align_corners=False)[:, 0])
        with frozen_running_statistics(model):
            rest = model(without_attended(batch.images, maps, self.options)).logits.softmax(dim=1)
        mining = mean_over(of_class(rest, batch.labels), takes_part)
        error = (maps - (~outside[:, 0]).to(maps.dtype)).square().mean(dim=(1, 2))
        distance = mean_over(error * outside.flatten(1).any(dim=1), takes_part)
        penalty = self.options.gain_mining_weight * mining + self.options.gain_map_weight * distance
        return Loss(cross_entropy(logits, batch.labels), penalty)


def rrr_grad_cam_penalty(maps: Cells, outside: Cells, takes_part: TakesPart, preset: Preset) -> Scalar:
    """Squared maps outside the mask; both in [0, 1], `outside` the share of a cell's pixels outside.

    `paper`: sum over batch and cells of (A · S)^2. `fixed`: sum (A · S)^2 / sum S of each image, then the mean over
    images; zero where an image has no outside.
    """
    squares = (maps * outside).square().sum(dim=(1, 2))
    if preset == "paper":
        return squares.sum()
    area = outside.sum(dim=(1, 2))
    return mean_over(squares / area.where(area > 0, area.new_ones(())), takes_part)


class RRRGradCAM(Penalty):
    """CE(f(x), y) + strength · (norm01(Grad-CAM of the predicted class) · S)^2, summed (`paper`) or averaged (`fixed`).

    norm01 scales each map from its minimum to its maximum. S at the map's resolution is a share of pixels.

    Source: Schramowski et al., Nature Machine Intelligence 2020 (RRR at the last map in place of the image), with
    Grad-CAM as in their group's program for Friedrich et al., Nature Machine Intelligence 2023 ("RRR-G").
    """

    idea = "RRR on Grad-CAM: the map of the predicted class is small outside the mask."
    strengths = (1e-1, 1e2)
    paper_revision = 2

    def penalised_loss(self, model: Classifier, batch: Batch) -> Loss:
        outside, takes_part = outside_pixels(batch.masks, self.config.empty_mask)
        last, (logits, _) = model.with_map(images_for_map(model, batch))
        cam = signed_grad_cam if self.config.preset == "paper" else grad_cam
        maps = unit_range(cam(logits.amax(dim=1), last))
        penalty = rrr_grad_cam_penalty(maps, share_of_cells(outside, maps), takes_part, self.config.preset)
        return Loss(cross_entropy(logits, batch.labels), penalty)
