"""Many small trials of one method trained as one stacked model, for GPUs that a single one leaves idle.

    pack.py                   which trainings go together
    pack_trainable.py         PackTrainable: a pack in Tune, each member with its record, checkpoint and MLflow run
    stacked_trials.py         StackedTrials: trials that train together, an epoch at a time
    stacked_model.py          StackedModel: many classifiers as one
    grouped_convolution.py    its convolutions, with derivatives of any order
    stacked_adam.py           its optimiser, with a learning rate a member
    stacked_batch.py          its batches, each member's from its own streams
    stacked_loss.py           STACKED: the methods that can be packed, by their own formulas

Each member gives the record that it would have given by itself, up to rounding.
"""

from trainables.packing.pack import STACKED_MODELS as STACKED_MODELS
from trainables.packing.pack import Pack as Pack
from trainables.packing.pack_trainable import PackTrainable as PackTrainable
from trainables.packing.stacked_loss import STACKED as STACKED
from trainables.packing.stacked_trials import StackedTrials as StackedTrials
