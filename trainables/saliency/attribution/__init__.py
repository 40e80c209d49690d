"""Attributions: maps of how much each pixel contributes to a class score. Two see no model and serve as baselines.

To add one: a subclass of Attribution in a file, its import and one line here. From another package: docs/extending.md.
"""

from trainables.core.registry import Registry, subclass_of
from trainables.saliency.attribution.attribution import Attribution
from trainables.saliency.attribution.grad_cam import GradCam, LayerGradCam
from trainables.saliency.attribution.gradients import (
    DeepLift,
    GradientShap,
    GuidedBackprop,
    InputGradient,
    InputXGradient,
    IntegratedGradients,
    SmoothGrad,
)
from trainables.saliency.attribution.perturbation import FeatureAblation, Occlusion, Rise
from trainables.saliency.attribution.without_model import CentreGaussian, EdgeDetector

_BUILT_IN: dict[str, type[Attribution]] = {
    "centre_gaussian": CentreGaussian,
    "deep_lift": DeepLift,
    "edge_detector": EdgeDetector,
    "feature_ablation": FeatureAblation,
    "grad_cam": GradCam,
    "gradient_shap": GradientShap,
    "guided_backprop": GuidedBackprop,
    "input_gradient": InputGradient,
    "input_x_gradient": InputXGradient,
    "integrated_gradients": IntegratedGradients,
    "layer_grad_cam": LayerGradCam,
    "occlusion": Occlusion,
    "rise": Rise,
    "smooth_grad": SmoothGrad,
}
ATTRIBUTIONS = Registry("attributions", _BUILT_IN, subclass_of(Attribution))
