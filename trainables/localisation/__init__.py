"""Localisation metrics: how well maps fall on masks. Each takes a batch of maps and masks, gives one score a map.

To add one: one file with a function (maps, masks) -> scores, one line here.
"""

from collections.abc import Callable

from torch import Tensor

from trainables.localisation.chance import chance_iou as chance_iou
from trainables.localisation.iop import iop as iop
from trainables.localisation.iot import iot as iot
from trainables.localisation.iou import iou as iou

LOCALISATION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "iop": iop,
    "iot": iot,
    "iou": iou,
}
