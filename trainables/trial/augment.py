"""Augmentation: random changes of the training images, which their masks follow."""

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from trainables.core.config import Augment, TrialConfig
from trainables.core.errors import ConfigurationError
from trainables.core.shapes import Images, Pixels
from trainables.core.streams import global_stream
from trainables.datasets.dataset import UNIT


class CropWithMask(v2.RandomResizedCrop):
    """torchvision's crop, which resizes images bilinearly, with masks that stay in place.

    torchvision resizes a mask by `nearest`, half a pixel down and right of the image; `nearest-exact` has no shift.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        exact = v2.InterpolationMode.NEAREST_EXACT
        as_image = tv_tensors.Image(inpt, dtype=torch.uint8)
        return tv_tensors.Mask(functional.resized_crop(as_image, **params, size=self.size, interpolation=exact) > 0)


def policy_of(name: Augment, height: int, width: int, black: float) -> v2.Transform:
    """The transform of an image of this size and its mask.

    Sources: `crop_flip` is Sagawa et al., ICLR 2020 (their program, `--augment_data`); `affine` torchxrayvision (Cohen
    et al., MIDL 2022, its training script); `color` DomainBed (Gulrajani & Lopez-Paz, ICLR 2021) without its random
    grey images.
    """
    flip = v2.RandomHorizontalFlip()
    crop = CropWithMask((height, width), scale=(0.7, 1.0), ratio=(3 / 4, 4 / 3))
    if name == "affine":
        fill = {tv_tensors.Image: black, tv_tensors.Mask: 0}
        bilinear = v2.InterpolationMode.BILINEAR
        return v2.RandomAffine(45, translate=(0.15, 0.15), scale=(0.85, 1.15), interpolation=bilinear, fill=fill)
    if name == "color":
        return v2.Compose([crop, flip, v2.ColorJitter(0.3, 0.3, 0.3, 0.3)])
    return v2.Compose([crop, flip]) if name == "crop_flip" else flip


def augment(
    config: TrialConfig, images: Images, masks: Pixels, black: float, epoch: int, number: int
) -> tuple[Images, Pixels]:
    """Augmented copies of the images and masks of an epoch's batch `number`.

    torchvision draws from the global generator, here that of the stream ("augment", seed, epoch, number).
    """
    policy = policy_of(config.augment, images.shape[2], images.shape[3], black)
    with global_stream("augment", config.seed, epoch, number):
        pairs = [policy(tv_tensors.Image(i), tv_tensors.Mask(m)) for i, m in zip(images, masks, strict=True)]
    return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])


def check_augment(config: TrialConfig, limits: tuple[float, float]) -> None:
    """Raise ConfigurationError for changes of colour if pixels are not in [0, 1]."""
    if config.augment == "color" and limits != UNIT:
        black, white = limits
        raise ConfigurationError(
            f"augment 'color' for dataset {config.dataset!r}, whose pixels are in [{black:g}, {white:g}]: it is for "
            "pixels in [0, 1]; choose crop_flip, affine or flip, or pixels in [0, 1]"
        )
