"""Numbers and names as text: few digits, a true minus, names in words."""

import math
from collections.abc import Sequence
from typing import Protocol

from records import columns

_METRICS = {
    **{"iou": "IoU", "iop": "IoP", "iot": "IoT", "iou_corrected": "IoU above chance"},
    **{"iou_fixed": "IoU at half the range", "iou_tuned": "IoU at a tuned threshold", "top_k": "top-k intersection"},
    **{"auroc": "pixel AUROC", "auprc": "pixel AUPRC", "1-distractor_mass": "mass off the distractor"},
}
_METHODS = {
    **{"actdiff": "ActDiff", "cdep": "CDEP", "corm": "CoRM", "dfr": "DFR", "gain": "GAIN", "gradmask": "GradMask"},
    **{"group_dro": "group DRO", "hint": "HINT", "ibp_ex": "IBP-Ex", "masktune": "MaskTune", "pgd_ex": "PGD-Ex"},
    **{"rrr": "RRR", "rrr_grad_cam": "RRR on Grad-CAM"},
}
_ATTRIBUTIONS = {
    **{"grad_cam": "Grad-CAM", "layer_grad_cam": "Grad-CAM of a layer", "smooth_grad": "SmoothGrad", "rise": "RISE"},
    **{"deep_lift": "DeepLIFT", "gradient_shap": "GradientSHAP"},
}
_STATISTICS = {
    **{"spearman": "Spearman’s ρ", "kendall_tau_b": "Kendall’s τ-b", "fisher_z": "Fisher z"},
    **{"pooled": "everything mixed", "stratum": "methods mixed", "cell": "one cell", "within_cell": "within cells"},
    **{"between_methods": "between methods", "cluster_jackknife": "cluster jackknife"},
}
_NAMES = {**columns.SPLIT_LABELS, **_METRICS, **_METHODS, **_ATTRIBUTIONS, **_STATISTICS, "lr": "learning rate"}


def name(word: str) -> str:
    """A column's or method's name as words: `integrated_gradients` becomes "integrated gradients".

    Paths are shortened: `folder:/data/mine` becomes "mine", `manifest:/data/mine/table.csv` "mine/table.csv".
    """
    kind, _, path = word.partition(":")
    if kind in ("folder", "manifest") and path:
        return "/".join(path.strip("/").split("/")[-1 if kind == "folder" else -2 :])
    return _NAMES.get(word, word.replace("_", " "))


def column_name(column: str) -> str:
    """A column's label, such as "IoU of occlusion on the OOD test set", or "batch size" for `hp.batch_size`."""
    return columns.label(column, name)


def stratum_name(dataset: str | None, level: float | None) -> str:
    """ "crosses, s = 0.8"; "everything" without a dataset or severity."""
    return "everything" if dataset is None or level is None else f"{name(dataset)}, s = {severity(level)}"


def capitalized(words: str) -> str:
    """With a capital first letter and the rest unchanged."""
    return words[:1].upper() + words[1:]


def listed(words: Sequence[str], conjunction: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    return f" {conjunction} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def number(value: float | None, digits: int = 2) -> str:
    """A value with a fixed number of decimals, an en dash for a missing one; never a minus zero."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:z.{digits}f}".replace("-", "−")


def strength(value: float) -> str:
    """With two significant digits: "0.46", "10"."""
    return f"{float(f'{value:.2g}'):g}"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """ "0.10 to 0.32", or an en dash without bounds."""
    return "–" if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


class HasInterval(Protocol):
    """An estimate with its interval."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def ci_low(self) -> float | None: ...
    @property
    def ci_high(self) -> float | None: ...


def with_interval(entry: HasInterval, digits: int = 2) -> str:
    """ "0.21 (0.10 to 0.32)", or "0.21" without an interval."""
    brackets = "" if entry.ci_low is None else f" ({interval(entry.ci_low, entry.ci_high, digits)})"
    return number(entry.estimate, digits) + brackets


def percent(share: float | None, digits: int = 0) -> str:
    """ "12 %" for 0.12, with a space that does not break."""
    return "–" if share is None else f"{number(100 * share, digits)}\u00a0%"


def p_value(value: float | None) -> str:
    """Three decimals, or "< 0.001"."""
    return "< 0.001" if value is not None and value < 0.001 else number(value, 3)


def count(n: int, singular: str, plural: str | None = None) -> str:
    """ "1 trial", "2,400 trials"."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def severity(value: float) -> str:
    """ "0.8" for 0.8, "1" for 1.0."""
    return f"{value:g}"
