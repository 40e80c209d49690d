"""Mask-aware training methods. Each sees (model, batch) and returns the classification loss and its penalty.

To add one: a subclass of Method or Penalty in a file, its import and one line here. From another package:
docs/extending.md. method.py is the base, input_gradient_penalty.py that of penalties on an input gradient, parts/ what
several methods share, costs.py the measured cost of a step.
"""

from trainables.core.registry import Registry, subclass_of
from trainables.methods.actdiff import ActDiff as ActDiff
from trainables.methods.adversarial import Adversarial as Adversarial
from trainables.methods.baseline import Baseline as Baseline
from trainables.methods.cdep import CDEP as CDEP
from trainables.methods.corm import CoRM as CoRM
from trainables.methods.counterexamples import CounterExamples as CounterExamples
from trainables.methods.counterfactual_fill import CounterfactualFill as CounterfactualFill
from trainables.methods.dfr import DFR as DFR
from trainables.methods.energy import Energy as Energy
from trainables.methods.expected_gradients import ExpectedGradients as ExpectedGradients
from trainables.methods.gain import GAIN as GAIN
from trainables.methods.gradmask import GradMask as GradMask
from trainables.methods.group_dro import GroupDRO as GroupDRO
from trainables.methods.hint import HINT as HINT
from trainables.methods.ibp_ex import IBPEx as IBPEx
from trainables.methods.input_gradient_logit import InputGradientLogit as InputGradientLogit
from trainables.methods.logit_invariance import LogitInvariance as LogitInvariance
from trainables.methods.masked import Masked as Masked
from trainables.methods.masktune import MaskTune as MaskTune
from trainables.methods.method import Method as Method
from trainables.methods.method import Penalty as Penalty
from trainables.methods.pgd_ex import PGDEx as PGDEx
from trainables.methods.right_for_better_reasons import RightForBetterReasons as RightForBetterReasons
from trainables.methods.rrr import RRR as RRR
from trainables.methods.rrr_grad_cam import RRRGradCAM as RRRGradCAM
from trainables.methods.saliency_guided import SaliencyGuided as SaliencyGuided
from trainables.methods.shuffled import Shuffled as Shuffled

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
