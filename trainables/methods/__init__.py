"""Mask-aware training methods. Each sees (model, batch) and returns the classification loss and its penalty.

To add one: one file with a subclass of Method or Penalty, one line here.
"""

from trainables.methods.actdiff import ActDiff as ActDiff
from trainables.methods.adversarial import Adversarial as Adversarial
from trainables.methods.baseline import Baseline as Baseline
from trainables.methods.gradmask import GradMask as GradMask
from trainables.methods.masked import Masked as Masked
from trainables.methods.method import Method as Method
from trainables.methods.method import Penalty as Penalty
from trainables.methods.rrr import RRR as RRR
from trainables.methods.shuffled import Shuffled as Shuffled

METHODS: dict[str, type[Method]] = {
    "actdiff": ActDiff,
    "adversarial": Adversarial,
    "baseline": Baseline,
    "gradmask": GradMask,
    "masked": Masked,
    "rrr": RRR,
    "shuffled": Shuffled,
}
