"""What the paper's seed runs were trained with, and the ranges that its searches looked in.

Source: Viviano et al., ICLR 2021 (arXiv 1910.00199); the values stand in the configurations of the authors' program.
"""

import math
from dataclasses import dataclass

from search_spaces.space import Settings

SEEDS = (451, 1111, 1234, 1290, 1987, 3221, 3232, 6400, 8888, 9856)
"""The ten seeds of every cell of the paper's tables; 1234 is also that of its searches."""
SEARCH_SEED = 1234


@dataclass(frozen=True)
class Published:
    """One method's settings on one dataset; those that a method or dataset does not have are None."""

    lr: float
    strength: float | None = None
    """lambda. The authors' program never multiplied ActDiff's: there it only enabled the term."""
    mask_blur: float | None = None
    """Sigma of the Gaussian that widened training masks (synthetic only)."""
    disc_iter: int | None = None
    disc_lr: float | None = None

    @property
    def mask_dilation(self) -> int:
        """Pixels by which the blur (truncated at 4 sigma, then > 0) grew a mask."""
        return math.floor(4 * (self.mask_blur or 0.0) + 0.5)

    def settings(self) -> Settings:
        """As settings of a trial."""
        named = {"lr": self.lr, "strength": self.strength or 0.0, "mask_dilation": self.mask_dilation}
        own = {"disc_iter": self.disc_iter, "disc_lr": self.disc_lr}
        return named | {name: value for name, value in own.items() if value is not None}


SYNTHETIC: dict[str, Published] = {
    # The baseline reads no mask, so its blur of 0.817838 is left out.
    "baseline": Published(3.11e-4),
    "masked": Published(3.11e-4, mask_blur=0.817838),
    "shuffled": Published(3.11e-4, mask_blur=0.817838),
    "actdiff": Published(3.11e-4, 0.114963, 0.817838),
    "gradmask": Published(1e-2, 0.203439, 1.0),
    "rrr": Published(1e-5, 10.0, 0.0),
    "adversarial": Published(3.71e-4, 10.0, 0.639513, disc_iter=10, disc_lr=1e-2),
}

SYNTHETIC_DATA: Settings = {
    "dataset": "synthetic",
    "severity": 1.0,
    "variant": "paper",
    "n_train": 500,
    "n_valid": 128,
    "n_test": 128,
    # Every image has a mask, so that the policy changes nothing; named, trials of both presets can share a training.
    "empty_mask": "outside",
}

TRAINING: Settings = {
    "model": "resnet18",
    "epochs": 100,
    "batch_size": 16,
    "selection_warmup": 4,
    "attribution_images": 64,
    "integrated_gradients_steps": 200,
}

PRESET_SELECTION = {"paper": "best_valid_ood", "fixed": "best_valid_id"}
"""The paper selected epochs on validation data with the reversed cue, an oracle; `fixed` does not."""
