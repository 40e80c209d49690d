"""What one trial does, and the registries that say which methods, models, data and measures there are.

    config.py        TrialConfig: one fully specified trial and its key
    trial.py         Trial: training, selection, evaluation, attribution, localisation
    trainable.py     TrialTrainable and one Tune trainable for each method
    training.py      Training: what such a trainable runs: its checkpoints, and the records at its end
    controls.py      wrong masks, fewer masks, masks at test time
    recorder.py      Recorder: the durable record, the artifacts, the MLflow run
    registry.py      Registry: names that are built in, and those that other packages bring (docs/extending.md)
    methods/ models/ datasets/ attribution/ localisation/     one file for each registered name

A trial in Tune:

    tune.Tuner(trainables.ActDiff, param_space={"strength": tune.loguniform(1e-3, 10), "seed": tune.randint(0, 100)})
"""

from trainables.core.config import TrialConfig as TrialConfig
from trainables.core.errors import ConfigurationError as ConfigurationError
from trainables.core.errors import DivergedError as DivergedError
from trainables.datasets import DATASETS as DATASETS
from trainables.methods import METHODS as METHODS
from trainables.models import MODELS as MODELS
from trainables.saliency.attribution import ATTRIBUTIONS as ATTRIBUTIONS
from trainables.saliency.localisation import LOCALISATION as LOCALISATION
from trainables.trial.trial import Trial as Trial
from trainables.tune.recorder import Recorder as Recorder
from trainables.tune.trainable import TRAINABLES as TRAINABLES
from trainables.tune.trainable import TrialTrainable as TrialTrainable

Baseline = TRAINABLES["baseline"]
Masked = TRAINABLES["masked"]
Shuffled = TRAINABLES["shuffled"]
ActDiff = TRAINABLES["actdiff"]
GradMask = TRAINABLES["gradmask"]
RRR = TRAINABLES["rrr"]
Adversarial = TRAINABLES["adversarial"]
CDEP = TRAINABLES["cdep"]
CoRM = TRAINABLES["corm"]
CounterExamples = TRAINABLES["counterexamples"]
CounterfactualFill = TRAINABLES["counterfactual_fill"]
DFR = TRAINABLES["dfr"]
Energy = TRAINABLES["energy"]
ExpectedGradients = TRAINABLES["expected_gradients"]
GAIN = TRAINABLES["gain"]
GroupDRO = TRAINABLES["group_dro"]
HINT = TRAINABLES["hint"]
IBPEx = TRAINABLES["ibp_ex"]
InputGradientLogit = TRAINABLES["input_gradient_logit"]
LogitInvariance = TRAINABLES["logit_invariance"]
MaskTune = TRAINABLES["masktune"]
PGDEx = TRAINABLES["pgd_ex"]
RightForBetterReasons = TRAINABLES["right_for_better_reasons"]
RRRGradCAM = TRAINABLES["rrr_grad_cam"]
SaliencyGuided = TRAINABLES["saliency_guided"]
