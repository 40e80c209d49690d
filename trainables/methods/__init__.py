"""Mask-aware training methods. Each sees (model, batch) and returns the classification loss and its penalty.

To add one: a subclass of Method or Penalty in a file, its import and one line here. From another package:
docs/extending.md. method.py is the base, parts/ what several files share, costs.py the measured cost of a step,
departures.csv how methods differ from their sources.
"""

from pathlib import Path

from trainables.core.departure import read_departures
from trainables.core.registry import Registry, subclass_of
from trainables.methods.actdiff import ActDiff
from trainables.methods.adversarial import Adversarial
from trainables.methods.altered_copies import CoRM, CounterExamples, LogitInvariance, PGDEx
from trainables.methods.attention import GAIN, HINT, Energy, RRRGradCAM
from trainables.methods.cdep import CDEP
from trainables.methods.counterfactual_fill import CounterfactualFill
from trainables.methods.dfr import DFR
from trainables.methods.group_dro import GroupDRO
from trainables.methods.ibp_ex import IBPEx
from trainables.methods.input_gradients import RRR, ExpectedGradients, GradMask, InputGradientLogit
from trainables.methods.masktune import MaskTune
from trainables.methods.method import Method
from trainables.methods.method import Penalty as Penalty
from trainables.methods.plain import Baseline, Masked, Shuffled
from trainables.methods.right_for_better_reasons import RightForBetterReasons
from trainables.methods.saliency_guided import SaliencyGuided

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
for _name, _departures in read_departures(Path(__file__).with_name("departures.csv")).items():
    _BUILT_IN[_name].departures = _departures
METHODS = Registry("methods", _BUILT_IN, subclass_of(Method))
