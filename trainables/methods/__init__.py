"""Mask-aware training methods. Each sees (model, batch) and returns the classification loss and its penalty.

To add one: a subclass of Method or Penalty in a file, its import and one line here. From another package:
docs/extending.md. method.py is the base, input_gradient_penalty.py that of penalties on an input gradient, parts/ what
several methods share, costs.py the measured cost of a step.
"""

from trainables.core.registry import Registry, subclass_of
from trainables.methods.actdiff import ActDiff
from trainables.methods.adversarial import Adversarial
from trainables.methods.baseline import Baseline
from trainables.methods.cdep import CDEP
from trainables.methods.corm import CoRM
from trainables.methods.counterexamples import CounterExamples
from trainables.methods.counterfactual_fill import CounterfactualFill
from trainables.methods.dfr import DFR
from trainables.methods.energy import Energy
from trainables.methods.expected_gradients import ExpectedGradients
from trainables.methods.gain import GAIN
from trainables.methods.gradmask import GradMask
from trainables.methods.group_dro import GroupDRO
from trainables.methods.hint import HINT
from trainables.methods.ibp_ex import IBPEx
from trainables.methods.input_gradient_logit import InputGradientLogit
from trainables.methods.logit_invariance import LogitInvariance
from trainables.methods.masked import Masked
from trainables.methods.masktune import MaskTune
from trainables.methods.method import Method
from trainables.methods.method import Penalty as Penalty
from trainables.methods.pgd_ex import PGDEx
from trainables.methods.right_for_better_reasons import RightForBetterReasons
from trainables.methods.rrr import RRR
from trainables.methods.rrr_grad_cam import RRRGradCAM
from trainables.methods.saliency_guided import SaliencyGuided
from trainables.methods.shuffled import Shuffled

_BUILT_IN: dict[str, type[Method]] = {
    "actdiff": ActDiff,
    "adversarial": Adversarial,
    "baseline": Baseline,
    "cdep": CDEP,
    "corm": CoRM,
    "counterexamples": CounterExamples,
    "counterfactual_fill": CounterfactualFill,
    "dfr": DFR,
    "energy": Energy,
    "expected_gradients": ExpectedGradients,
    "gain": GAIN,
    "gradmask": GradMask,
    "group_dro": GroupDRO,
    "hint": HINT,
    "ibp_ex": IBPEx,
    "input_gradient_logit": InputGradientLogit,
    "logit_invariance": LogitInvariance,
    "masked": Masked,
    "masktune": MaskTune,
    "pgd_ex": PGDEx,
    "right_for_better_reasons": RightForBetterReasons,
    "rrr": RRR,
    "rrr_grad_cam": RRRGradCAM,
    "saliency_guided": SaliencyGuided,
    "shuffled": Shuffled,
}
METHODS = Registry("methods", _BUILT_IN, subclass_of(Method))
