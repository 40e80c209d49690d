"""Attributions: maps that say which pixels a class score rests on. Made by captum, in batches.

To add one: one file with a subclass of Attribution, one line here.
"""

from trainables.attribution.attribution import Attribution as Attribution
from trainables.attribution.input_gradient import InputGradient as InputGradient
from trainables.attribution.integrated_gradients import IntegratedGradients as IntegratedGradients
from trainables.attribution.occlusion import Occlusion as Occlusion

ATTRIBUTIONS: dict[str, type[Attribution]] = {
    "input_gradient": InputGradient,
    "integrated_gradients": IntegratedGradients,
    "occlusion": Occlusion,
}
