"""xray_densenet: a published recipe for chest X-rays, with and without masks."""

from typing import Any

from search_spaces.space import Settings, Space, factorial
from search_spaces.strengths import GRADIENTS, strength_grid

RECIPE: dict[str, Any] = {"model": ("torchvision:densenet121",), "weights": ("pretrained",), "augment": ("flip",)}
RECIPE |= {"optimizer": ("sgd",), "lr": (0.01,), "weight_decay": (1e-4,), "batch_size": (16,), "epochs": (9,)}
RECIPE |= {"schedule": ("step",), "step_epochs": (3,), "selection_warmup": (0,)}


def xray_densenet() -> Space:
    """36 trials: for --dataset xray_site or rsna_view and --set root=…; without it, a rehearsal on synthetic data.

    A pretrained DenseNet-121 at 224 pixels: (baseline + masked + two methods x two strengths) x six seeds, at severity
    0.8, the paper's on both sets.

    Source: Zech et al., PLOS Medicine 2018, who trained on several hospitals, and their programs (cxr-generalize,
    reproduce-chexnet): SGD with momentum 0.9, rate 0.01, L2 penalty 1e-4, batches of 16, mirrored images. Departures:
    theirs divides the rate by ten after every epoch without a better validation loss, and ends after three such epochs,
    in their published log after 9; here the rate falls every three of 9 epochs, so that methods are trained alike.
    Theirs predicts several findings at once.
    """

    def trials(dataset: str, **settings: Any) -> list[Settings]:
        return factorial(
            seeds=range(6),
            datasets=(dataset,),
            severities=(0.8,),
            strengths=strength_grid(2, ("baseline", "masked", "actdiff", "gradmask")),
            **RECIPE,
            **GRADIENTS,
            **settings,
        )

    return Space(
        "xray_densenet",
        "a published recipe: pretrained DenseNet-121, SGD in steps, for --dataset xray_site or rsna_view",
        trials("synthetic"),
        comparisons=("seed", "setting", "given_id"),
        on_request={name: trials(name, image_size=(224,)) for name in ("xray_site", "rsna_view")},
    )
