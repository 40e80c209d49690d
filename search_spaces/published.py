"""The settings of the paper's final runs and of its searches.

Source: Viviano et al., ICLR 2021 (arXiv 1910.00199); the values are in the configuration files of the authors' program.

In published.csv, `mask_blur` is the sigma of the Gaussian that widened training masks; the baseline uses no mask, so
its blur of 0.817838 is omitted. `strength` is lambda, which for ActDiff only enabled the term and did not multiply it.
"""

import csv
import math
from pathlib import Path

from search_spaces.space import Settings

SEEDS = (451, 1111, 1234, 1290, 1987, 3221, 3232, 6400, 8888, 9856)
"""The ten seeds of every cell of the paper's tables; its searches use 1234."""
SEARCH_SEED = 1234
PRESET_SELECTION = {"paper": "best_valid_ood", "fixed": "best_valid_id"}
"""The paper selected epochs on validation data with the reversed cue, which is an oracle; `fixed` does not."""
Stratum = tuple[str, float]
"""Dataset and severity; 0.8 is the paper's ratio r = 0.9, 0 its r = 0.5."""

XRAY: Settings = {"split_by": "published", "per_cell": 0, "pixels": "published", "attribution_images": 50}
DATA: dict[str, Settings] = {
    "synthetic": {
        **{"variant": "paper", "n_train": 500, "n_valid": 128, "n_test": 128, "attribution_images": 64},
        # Every image has a mask, so this changes nothing, but lets trials of both presets share a training.
        "empty_mask": "outside",
    },
    "xray_site": {**XRAY, "label_match": "substring", "image_size": 128, "empty_mask": "outside"},
    # Negatives have no mask, and the presets handle them differently.
    "rsna_view": {**XRAY, "image_size": 224},
}
"""The settings of each dataset's published data."""
TRAINING: Settings = {"model": "resnet18", "epochs": 100, "batch_size": 16, "selection_warmup": 4}
TRAINING |= {"integrated_gradients_steps": 200}


def dilation(blur: float) -> int:
    """Pixels by which a blur of this sigma (truncated at 4 sigma, then thresholded at 0) grew a mask."""
    return math.floor(4 * blur + 0.5)


def _read() -> dict[Stratum, dict[str, Settings]]:
    by_stratum: dict[Stratum, dict[str, Settings]] = {}
    for row in csv.DictReader(Path(__file__).with_name("published.csv").read_text().splitlines()):
        settings: Settings = {"lr": float(row["lr"]), "strength": float(row["strength"] or 0.0)}
        settings["mask_dilation"] = dilation(float(row["mask_blur"] or 0.0))
        if row["disc_iter"]:
            settings |= {"disc_iter": int(row["disc_iter"]), "disc_lr": float(row["disc_lr"])}
        by_stratum.setdefault((row["dataset"], float(row["severity"])), {})[row["method"]] = settings
    return by_stratum


SETTINGS = _read()
"""By stratum and method."""


def strata_of(dataset: str) -> list[Stratum]:
    """The dataset's published severities, the shifted one first."""
    return [stratum for stratum in SETTINGS if stratum[0] == dataset]


def protocol(stratum: Stratum) -> Settings:
    """The settings that all trials of a stratum share."""
    dataset, severity = stratum
    return {"dataset": dataset, "severity": severity, **DATA[dataset], **TRAINING}
