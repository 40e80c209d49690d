"""docs/picture.png: an image, its mask, and the maps of two models that validation cannot distinguish.

`python -m docs.picture` trains both in about a minute and draws it. The digits have a patch in a corner, whose shade
agrees with the class in training and disagrees out of distribution.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from trainables import ATTRIBUTIONS, Trial, resolve
from trainables.trial.explain import scaled

SETTINGS = {"dataset": "decoy_digits", "severity": 1.0, "lr": 0.003, "attributions": ("occlusion",)}
SHOWN = 375
"""Position of the image among those of the odd class in the OOD test set: a 3 that does not touch its patch."""

if __name__ == "__main__":
    mpl.rcParams["font.family"] = "DejaVu Sans"
    figure, panels = plt.subplots(1, 4, figsize=(12.8, 4.4), layout="constrained")
    texts = {"Image": "odd or even? In\ntraining the patch\ngave it away", "Mask": "what the answer\nshould rest on"}
    for panel, title, method in ((panels[2], "A good map", "masked"), (panels[3], "A bad map", "baseline")):
        trial = Trial(resolve({**SETTINGS, "method": method}))
        while not trial.finished:
            trial.train_epoch()
        scores, split = trial.evaluate(), trial.splits["test_ood"]
        at = int(split.labels.nonzero()[SHOWN, 0])
        images, labels, mask = split.images[at : at + 1], split.labels[at : at + 1], split.masks[at, 0].numpy()
        maps = ATTRIBUTIONS["occlusion"](trial.config).maps(trial.model, images, labels)
        panel.imshow(scaled(maps)[0].numpy(), cmap="magma")
        panel.contour(mask, levels=[0.5], colors="#2ca6a4", linewidths=1.5)
        validation, shifted = scores["valid_id.auc"], scores["test_ood.auc"]
        texts[title] = f"AUC {validation:.2f} in validation,\n{shifted:.2f} when the\npatch misleads"
    panels[0].imshow(images[0, 0].numpy(), cmap="gray")
    panels[1].imshow(mask, cmap="gray")
    for panel, (title, text) in zip(panels, texts.items(), strict=True):
        panel.set_title(title, fontsize=20, fontweight="bold")
        panel.set_xlabel(text, fontsize=17)
        panel.set(xticks=[], yticks=[])
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)
