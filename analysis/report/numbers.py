"""How numbers and names are written for people: sensible digits, a true minus, names in words."""

import math

_NAMES = {
    "iou": "IoU",
    "iop": "IoP",
    "iot": "IoT",
    "iou_corrected": "IoU above chance",
    "iou_fixed": "IoU at half the range",
    "iou_tuned": "IoU at a tuned threshold",
    "auroc": "pixel AUROC",
    "auprc": "pixel AUPRC",
    "top_k": "top-k intersection",
    "1-distractor_mass": "mass off the distractor",
    "test_ood": "OOD test",
    "test_id": "ID test",
    "spearman": "Spearman’s ρ",
    "kendall_tau_b": "Kendall’s τ-b",
    "pooled": "everything mixed",
    "stratum": "methods mixed",
    "cell": "one cell",
    "within_cell": "within cells",
    "between_methods": "between methods",
    "cluster_bootstrap": "cluster bootstrap",
    "cluster_jackknife": "cluster jackknife",
    "fisher_z": "Fisher z",
    "actdiff": "ActDiff",
    "cdep": "CDEP",
    "corm": "CoRM",
    "dfr": "DFR",
    "gain": "GAIN",
    "gradmask": "GradMask",
    "group_dro": "group DRO",
    "hint": "HINT",
    "ibp_ex": "IBP-Ex",
    "masktune": "MaskTune",
    "pgd_ex": "PGD-Ex",
    "rrr": "RRR",
    "rrr_grad_cam": "RRR on Grad-CAM",
    "grad_cam": "Grad-CAM",
    "layer_grad_cam": "Grad-CAM of a layer",
    "smooth_grad": "SmoothGrad",
    "deep_lift": "DeepLIFT",
    "gradient_shap": "GradientSHAP",
    "rise": "RISE",
    "lr": "learning rate",
}


def name(word: str) -> str:
    """A column's or method's name as words: `integrated_gradients` becomes "integrated gradients".

    Of a dataset's place the last part: `folder:/data/mine` becomes "mine".
    """
    kind, _, place = word.partition(":")
    if kind in ("folder", "manifest") and place:
        return place.rstrip("/").rsplit("/", 1)[-1]
    return _NAMES.get(word, word.replace("_", " "))


def number(value: float | None, digits: int = 2) -> str:
    """A value with a fixed number of decimals, an en dash for a missing one; never a minus zero."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Bounds as "0.10 to 0.32", an en dash where there are none."""
    if low is None or high is None:
        return "–"
    return f"{number(low, digits)} to {number(high, digits)}"


def p_value(value: float | None) -> str:
    """Three decimals, and "< 0.001" below them."""
    if value is None or not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(n: int, singular: str, plural: str | None = None) -> str:
    """ "1 trial", "2,400 trials"."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def severity(value: float) -> str:
    """ "0.8" for 0.8, "1" for 1.0."""
    return f"{value:g}"
