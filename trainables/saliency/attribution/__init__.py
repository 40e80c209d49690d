"""Attributions: maps of how much each pixel contributes to a class score. Two see no model and serve as baselines.

To add one: a subclass of Attribution in a file, its import and one line here. From another package: docs/extending.md.
"""

from trainables.core.registry import Registry, subclass_of
from trainables.saliency.attribution.attribution import Attribution as Attribution
from trainables.saliency.attribution.changed_backpropagation import DeepLift as DeepLift
from trainables.saliency.attribution.changed_backpropagation import GuidedBackprop as GuidedBackprop
from trainables.saliency.attribution.feature_ablation import FeatureAblation as FeatureAblation
from trainables.saliency.attribution.grad_cam import GradCam as GradCam
from trainables.saliency.attribution.grad_cam import LayerGradCam as LayerGradCam
from trainables.saliency.attribution.gradient_shap import GradientShap as GradientShap
from trainables.saliency.attribution.input_gradient import InputGradient as InputGradient
from trainables.saliency.attribution.input_gradient import InputXGradient as InputXGradient
from trainables.saliency.attribution.integrated_gradients import IntegratedGradients as IntegratedGradients
from trainables.saliency.attribution.occlusion import Occlusion as Occlusion
from trainables.saliency.attribution.rise import Rise as Rise
from trainables.saliency.attribution.smooth_grad import SmoothGrad as SmoothGrad
from trainables.saliency.attribution.without_model import CentreGaussian as CentreGaussian
from trainables.saliency.attribution.without_model import EdgeDetector as EdgeDetector

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
