"""attributions: does the answer depend on the attribution and the metric?"""

from search_spaces.space import Space, factorial
from search_spaces.strengths import ONE_STRENGTH

METHODS = ("baseline", "actdiff", "gradmask")
# Written out rather than taken from the registries, which load torch.
ATTRIBUTIONS = (
    *("centre_gaussian", "deep_lift", "edge_detector", "feature_ablation", "grad_cam", "gradient_shap"),
    *("guided_backprop", "input_gradient", "input_x_gradient", "integrated_gradients", "layer_grad_cam"),
    *("occlusion", "rise", "smooth_grad"),
)
METRICS = (
    *("auprc", "auroc", "distractor_mass", "energy", "iop", "iot", "iou", "iou_corrected", "iou_fixed"),
    *("iou_tuned", "pointing", "rank_accuracy", "top_k"),
)


def attributions() -> Space:
    """All attributions and all metrics on three methods, severities 0, 0.9 and 1, ten seeds: 90 trials per dataset.

    Includes the randomisation check. Add --set faithfulness=true for insertion, deletion, infidelity and sensitivity,
    at about four times the cost.
    """
    trials = factorial(
        seeds=range(10),
        datasets=("synthetic", "digits_on_photos"),
        severities=(0.0, 0.9, 1.0),
        strengths={method: ONE_STRENGTH[method] for method in METHODS},
        lr=(3e-3,),
        epochs=(8,),
        attributions=(ATTRIBUTIONS,),
        metrics=(METRICS,),
        attribution_images=(32,),
        randomisation_check=(True,),
    )
    description = "all attributions by all metrics on three methods; 90 trials per dataset"
    return Space("attributions", description, tuple(trials))
