"""How numbers and names are written for people: sensible digits, a true minus, names in words."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from records import columns

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
    **columns.SPLIT_LABELS,
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

    Of a folder the last part, and of a manifest, often called table.csv, the last two: `folder:/data/mine` becomes
    "mine", `manifest:/data/mine/table.csv` becomes "mine/table.csv".
    """
    kind, _, place = word.partition(":")
    if kind in ("folder", "manifest") and place:
        return "/".join(place.strip("/").split("/")[-1 if kind == "folder" else -2 :])
    return _NAMES.get(word, word.replace("_", " "))


def column_name(column: str) -> str:
    """A column's label: "IoU of occlusion on the OOD test set", "OOD test AUC", "batch size" for `hp.batch_size`."""
    return columns.label(column, name)


def stratum_name(dataset: str | None, level: float | None) -> str:
    """ "crosses, s = 0.8"; "everything" without a dataset or severity."""
    return "everything" if dataset is None or level is None else f"{name(dataset)}, s = {severity(level)}"


def capitalized(words: str) -> str:
    """With a capital first letter; the rest stays as it is: "Grad-CAM", "Given validation AUC"."""
    return words[:1].upper() + words[1:]


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def number(value: float | None, digits: int = 2) -> str:
    """A value with a fixed number of decimals, an en dash for a missing one; never a minus zero."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def strength(value: float) -> str:
    """To two digits, for labels: of four strengths between 0.1 and 10 the inner ones are 0.46 and 2.2."""
    return f"{float(format(value, '.2g')):g}"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Bounds as "0.10 to 0.32", an en dash where there are none."""
    if low is None or high is None:
        return "–"
    return f"{number(low, digits)} to {number(high, digits)}"


@runtime_checkable
class HasInterval(Protocol):
    """An estimate with its interval, whatever it estimates."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def ci_low(self) -> float | None: ...
    @property
    def ci_high(self) -> float | None: ...


def with_interval(entry: HasInterval, digits: int = 2) -> str:
    """ "0.21 (0.10 to 0.32)"; without brackets where there is no interval."""
    return number(entry.estimate, digits) + (
        "" if entry.ci_low is None else f" ({interval(entry.ci_low, entry.ci_high, digits)})"
    )


def percent(share: float | None, digits: int = 0) -> str:
    """ "12 %" for 0.12, with a space that does not break."""
    return "–" if share is None else f"{number(100 * share, digits)}\u00a0%"


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
