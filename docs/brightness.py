"""Why better maps go with wrong answers on the photographs: `python -m docs.brightness sweeps/laptop`.

Per model and over its scored images under the shift: how well the brightness of an image's background tells right
answers from wrong ones, how it goes with the IoU of integrated gradients, and what the IoU tells of right answers by
itself and with the brightness' ranks taken out of it by least squares. Means over models with at least five right and
five wrong answers, those of `masked` by themselves.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from trainables.datasets.digits_on_photos import DigitsOnPhotos

DATASET, SPLIT, SCORE = "digits_on_photos", "test_ood", "iou.integrated_gradients"


def brightness(trial: pd.Series) -> np.ndarray:
    """[N] mean grey value outside the mask, in [0, 1], of each image of the split."""
    options = DigitsOnPhotos.Options(n_train=trial["hp.n_train"], image_size=trial["hp.image_size"])
    split = DigitsOnPhotos(options, trial["severity"], trial["data_seed"]).splits()[SPLIT]
    outside = ~split.masks.bool()
    return ((split.images * outside).sum((1, 2, 3)) / outside.sum((1, 2, 3))).numpy()


def one_model(scored: dict[str, np.ndarray], grey: np.ndarray) -> dict[str, float] | None:
    """The four values of a model; None with fewer than five right or five wrong answers."""
    right, iou = scored["correct"], rankdata(scored[SCORE])
    if not 5 <= right.sum() <= len(right) - 5:
        return None
    ranks = rankdata(grey) - (len(grey) + 1) / 2
    rest = iou - ranks * (ranks @ iou) / (ranks @ ranks)
    return {
        "brightness, for a right answer": roc_auc_score(right, grey),
        "brightness with IoU, rho": spearmanr(grey, iou).statistic,
        "IoU, for a right answer": roc_auc_score(right, iou),
        "the same given brightness": roc_auc_score(right, rest),
    }


def table(sweep: Path) -> pd.DataFrame:
    """The means, `masked` and the other methods in a row each."""
    trials = pd.read_parquet(sweep / "trials.parquet").query("dataset == @DATASET and severity > 0")
    rows = []
    for _, same in trials.groupby(["severity", "data_seed"]):
        grey = brightness(same.iloc[0])
        for key, method in zip(same["trial_key"], same["method"], strict=True):
            with np.load(sweep / "artifacts" / key / "maps.npz") as arrays:
                scored = {name: arrays[f"{SPLIT}.scored.{name}"] for name in ("index", "correct", SCORE)}
            values = one_model(scored, grey[scored["index"]])
            if values is not None:
                rows.append({"masked": method == "masked", **values})
    found = pd.DataFrame(rows).groupby("masked")
    return found.mean().assign(models=found.size())


if __name__ == "__main__":
    print(table(Path(sys.argv[1])).round(2).T.to_string())
