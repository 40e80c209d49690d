"""Writes quantus_scores.json: what Quantus 0.6.0 gives for 24 random maps, in an environment of its own.

    pip install quantus==0.6.0 && python tests/trainables/saliency/localisation/make_quantus_scores.py

Quantus is no dependency of the tests: it brings OpenCV and takes seconds to import. Left out is what science finds
unsound there: it has no IoU, its pointing game counts an empty mask, and any of several highest pixels, as a hit.
"""

import json
import warnings
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("quantus_scores.json")
N, SIDE = 24, 20


def maps_and_masks() -> tuple[np.ndarray, np.ndarray]:
    """Maps without ties, and masks that are neither empty nor full."""
    rng = np.random.default_rng(7)
    maps = rng.random((N, SIDE, SIDE))
    masks = rng.random((N, SIDE, SIDE)) < rng.uniform(0.02, 0.8, size=(N, 1, 1))
    return maps + 0.02 * masks, masks


def main() -> None:
    import quantus

    maps, masks = maps_and_masks()
    parts = {"a_batch": maps[:, None], "s_batch": masks[:, None]}
    metrics = {
        "auroc": quantus.AUC(disable_warnings=True),
        "energy": quantus.RelevanceMassAccuracy(disable_warnings=True),
        "pointing": quantus.PointingGame(disable_warnings=True),
        "rank_accuracy": quantus.RelevanceRankAccuracy(disable_warnings=True),
        "top_k": quantus.TopKIntersection(k=4, disable_warnings=True),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = {name: [float(s) for s in metric.evaluate_batch(**parts)] for name, metric in metrics.items()}
    FILE.write_text(json.dumps({"quantus": quantus.__version__, **scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
