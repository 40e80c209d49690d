"""Why better maps go with wrong answers on the photographs: `python -m docs.brightness sweeps/laptop`.

For each model and its scored images under the shift: the AUROC of the background's brightness for a correct answer, its
correlation with the IoU of integrated gradients, and the AUROC of the IoU alone and after removing the ranks of the
brightness by least squares. Means over models with at least five correct and five wrong answers, with `masked` apart.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from analysis.trials.table_file import read_table
from trainables.datasets.digits_on_photos import DigitsOnPhotos

SPLIT, SCORE = "test_ood", "iou.integrated_gradients"


def brightness(trial: pd.Series) -> np.ndarray:
    """[N] mean grey value outside the mask, in [0, 1], of each image of the split."""
    options = DigitsOnPhotos.Options(n_train=trial["hp.n_train"], image_size=trial["hp.image_size"])
    split = DigitsOnPhotos(options, trial["severity"], trial["data_seed"]).splits()[SPLIT]
    outside = ~split.masks[:]
    return ((split.images[:] * outside).sum((1, 2, 3)) / outside.sum((1, 2, 3))).numpy()


if __name__ == "__main__":
    sweep, rows = Path(sys.argv[1]), []
    trials = read_table(sweep / "trials.parquet").query("dataset == 'digits_on_photos' and severity > 0")
    for _, same in trials.groupby(["severity", "data_seed"]):
        grey_values = brightness(same.iloc[0])
        for key, method in zip(same["trial_key"], same["method"], strict=True):
            with np.load(sweep / "artifacts" / key / "maps.npz") as arrays:
                index, correct, scores = (arrays[f"{SPLIT}.scored.{name}"] for name in ("index", "correct", SCORE))
            if 5 <= correct.sum() <= len(correct) - 5:
                grey, iou = rankdata(grey_values[index]), rankdata(scores)
                centred = grey - grey.mean()
                values = {
                    "brightness, for a right answer": roc_auc_score(correct, grey),
                    "brightness with IoU, rho": np.corrcoef(grey, iou)[0, 1],
                    "IoU, for a right answer": roc_auc_score(correct, iou),
                    "the same given brightness": roc_auc_score(
                        correct, iou - centred * (centred @ iou) / (centred @ centred)
                    ),
                }
                rows.append({"masked": method == "masked", **values})
    groups = pd.DataFrame(rows).groupby("masked")
    print(groups.mean().assign(models=groups.size()).round(2).T.to_string())
