"""docs/picture.png: an image, its mask, and the maps of two models that validation cannot tell apart.

`python -m docs.picture` trains both in about a minute and draws it. The digits have a patch in a corner, whose shade
goes with the class in training and against it out of distribution.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from trainables import ATTRIBUTIONS, Trial, resolve
from trainables.trial.explain import scaled

PICTURE = Path(__file__).parent / "picture.png"
ATTRIBUTION = "occlusion"
SETTINGS = {"dataset": "decoy_digits", "severity": 1.0, "lr": 0.003, "attributions": (ATTRIBUTION,)}
"""Both models': they differ in the method alone."""
SHOWN = 375
"""The image's place among those of the odd class in the OOD test set: a 3 that does not touch its patch."""
COLOUR, OUTLINE = "magma", "#2ca6a4"


@dataclass(frozen=True)
class Model:
    """A trained model's scores on the splits, and its map of one image of the OOD test set."""

    validation: float
    shifted: float
    heat: NDArray[np.float32]
    """[height, width], in [0, 1]."""


def main() -> None:
    """Train the two models and draw the picture."""
    good, bad = Trial(resolve({**SETTINGS, "method": "masked"})), Trial(resolve({**SETTINGS, "method": "baseline"}))
    split = good.splits["test_ood"]
    at = int(split.labels.nonzero()[SHOWN, 0])
    image, mask = split.images[at, 0].numpy(), split.masks[at, 0].numpy()
    draw(image, mask, trained(good, at), trained(bad, at))


def trained(trial: Trial, at: int) -> Model:
    """Train to the end, and explain the OOD test image at place `at`."""
    while not trial.finished:
        trial.train_epoch()
    scores = trial.evaluate()
    split = trial.splits["test_ood"]
    shown = slice(at, at + 1)
    maps = ATTRIBUTIONS[ATTRIBUTION](trial.config).maps(trial.model, split.images[shown], split.labels[shown])
    return Model(scores["valid_id.auc"], scores["test_ood.auc"], scaled(maps)[0].numpy())


def draw(image: NDArray[np.float32], mask: NDArray[np.bool_], good: Model, bad: Model) -> None:
    """Write the picture: four panels, 1280 pixels wide, on white."""
    mpl.rcParams["font.family"] = "DejaVu Sans"
    figure, panels = plt.subplots(1, 4, figsize=(12.8, 4.4), layout="constrained")
    panels[0].imshow(image, cmap="gray")
    label(panels[0], "Image", "odd or even? In\ntraining the patch\ngave it away")
    panels[1].imshow(mask, cmap="gray")
    label(panels[1], "Mask", "what the answer\nshould rest on")
    for panel, title, model in ((panels[2], "A good map", good), (panels[3], "A bad map", bad)):
        panel.imshow(model.heat, cmap=COLOUR)
        panel.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=1.5)
        label(panel, title, f"AUC {model.validation:.2f} in validation,\n{model.shifted:.2f} when the\npatch misleads")
    figure.savefig(PICTURE, dpi=100)


def label(panel: Axes, title: str, text: str) -> None:
    """A title above a panel and a text below it, in place of its ticks."""
    panel.set_title(title, fontsize=20, fontweight="bold")
    panel.set_xlabel(text, fontsize=17)
    panel.set_xticks([])
    panel.set_yticks([])


if __name__ == "__main__":
    main()
