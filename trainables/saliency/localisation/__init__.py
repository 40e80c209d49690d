"""Localisation metrics: how well maps fall on masks. Each takes a batch of maps and masks and scores each map.

To add one: a function (maps, masks) -> scores in a file, its import and one line here. From another package:
docs/extending.md.
"""

from trainables.core.registry import Registry
from trainables.saliency.localisation.metric import Metric, TunedMetric, a_metric
from trainables.saliency.localisation.metric import traits_of as traits_of
from trainables.saliency.localisation.overlap import chance_iou as chance_iou
from trainables.saliency.localisation.overlap import iop, iot, iou, iou_corrected, iou_fixed, iou_tuned
from trainables.saliency.localisation.pixels import (
    auprc,
    auroc,
    distractor_mass,
    energy,
    pointing,
    rank_accuracy,
    top_k,
)

_BUILT_IN: dict[str, Metric] = {
    "auprc": auprc,
    "auroc": auroc,
    "distractor_mass": distractor_mass,
    "energy": energy,
    "iop": iop,
    "iot": iot,
    "iou": iou,
    "iou_corrected": iou_corrected,
    "iou_fixed": iou_fixed,
    "pointing": pointing,
    "rank_accuracy": rank_accuracy,
    "top_k": top_k,
}
LOCALISATION: Registry[Metric] = Registry("localisation", _BUILT_IN, a_metric)
TUNED: dict[str, TunedMetric] = {"iou_tuned": iou_tuned}
"""Metrics that are tuned on validation images."""
