"""Localisation metrics: how well maps fall on masks. Each takes a batch of maps and masks, gives one score a map.

To add one: one file with a function (maps, masks) -> scores, one line here. From another package: docs/extending.md.
"""

from collections.abc import Callable

from torch import Tensor

from trainables.core.registry import Registry, a_function
from trainables.saliency.localisation.auprc import auprc as auprc
from trainables.saliency.localisation.auroc import auroc as auroc
from trainables.saliency.localisation.chance import chance_iou as chance_iou
from trainables.saliency.localisation.distractor_mass import distractor_mass as distractor_mass
from trainables.saliency.localisation.energy import energy as energy
from trainables.saliency.localisation.iop import iop as iop
from trainables.saliency.localisation.iot import iot as iot
from trainables.saliency.localisation.iou import iou as iou
from trainables.saliency.localisation.iou_corrected import iou_corrected as iou_corrected
from trainables.saliency.localisation.iou_fixed import iou_fixed as iou_fixed
from trainables.saliency.localisation.iou_tuned import iou_tuned as iou_tuned
from trainables.saliency.localisation.pointing import pointing as pointing
from trainables.saliency.localisation.rank_accuracy import rank_accuracy as rank_accuracy
from trainables.saliency.localisation.top_k import top_k as top_k

Metric = Callable[[Tensor, Tensor], Tensor]

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
LOCALISATION: Registry[Metric] = Registry("localisation", _BUILT_IN, a_function)
ON_DISTRACTOR = ("distractor_mass",)
"""Of these the masks are the distractor's."""
TUNED: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {"iou_tuned": iou_tuned}
"""Metrics that choose something on validation images: (maps, masks, validation maps, validation masks) -> scores."""
