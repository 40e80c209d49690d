"""Trials that train together, an epoch at a time."""

from collections.abc import Sequence

import torch

from trainables.errors import DivergedError
from trainables.packing.pack import pack_key
from trainables.packing.stacked_adam import StackedAdam
from trainables.packing.stacked_batch import StackedData
from trainables.packing.stacked_loss import stacked_loss
from trainables.packing.stacked_model import StackedModel
from trainables.trial import Trial

Outcome = dict[str, float] | DivergedError
"""Of one trial's epoch: what `Trial.train_epoch` returns, or what it raises."""


class StackedTrials:
    """Trials of one kind (see `kind`) that train as one stacked model, each as it would by itself but for rounding.

    They are stacked anew for each epoch and taken apart after it, so that between two epochs each trial is a trial as
    any other: it is validated, selects its weights and leaves checkpoints that also continue it alone.

    A trial whose loss does not stay finite trains that epoch again by itself, and so ends as it would have ended;
    nothing of it reaches the others. Where the memory has no room for all, they train half and half.
    """

    def __init__(self, trials: Sequence[Trial]):
        """
        Args:
            trials: at least one; none has finished.
        """
        if len({kind(trial) for trial in trials}) != 1:
            raise ValueError("trials of more than one kind; stack those of each `kind` by themselves")
        self.trials = tuple(trials)
        self._halves: tuple[StackedTrials, StackedTrials] | None = None
        self._data: StackedData | None = None

    def train_epoch(self) -> list[Outcome]:
        """Train an epoch of each trial; what becomes of each, in their order."""
        if len(self.trials) == 1:
            return [_alone(self.trials[0])]
        if self._halves is None:
            orders = [trial.order_rng.get_state() for trial in self.trials]
            try:
                return self._stacked_epoch()
            except torch.OutOfMemoryError:
                for trial, order in zip(self.trials, orders, strict=True):
                    trial.order_rng.set_state(order)
            middle = len(self.trials) // 2
            self._data, self._halves = None, (StackedTrials(self.trials[:middle]), StackedTrials(self.trials[middle:]))
            torch.cuda.empty_cache()
        return [outcome for half in self._halves for outcome in half.train_epoch()]

    def _stacked_epoch(self) -> list[Outcome]:
        trials = self.trials
        self._data = self._data or StackedData(trials)
        orders = [trial.order_rng.get_state() for trial in trials]
        model = StackedModel([trial.model for trial in trials]).train()
        optimizer = StackedAdam(list(model.parameters()), [trial.optimizer for trial in trials])
        device, dtype = trials[0].device, next(model.parameters()).dtype
        weights = torch.tensor([trial.method.weight for trial in trials], dtype=dtype, device=device)
        finite = torch.ones(len(trials), dtype=torch.bool, device=device)
        losses = torch.zeros(2, len(trials), dtype=torch.float64, device=device)
        seen, steps = 0, 0
        for batch in self._data.epoch():
            loss = stacked_loss(trials[0].method, model, batch)
            total = loss.classification + weights * loss.penalty
            # Looked at once, after the epoch: until then a GPU need not wait for the processor.
            finite &= total.isfinite()
            optimizer.step(total.sum())
            images = batch.labels.shape[1]
            losses += images * torch.stack([loss.classification, loss.penalty]).detach().double()
            seen, steps = seen + images, steps + 1
        means = (losses / seen).T.tolist()
        outcomes = []
        for member, (trial, whole) in enumerate(zip(trials, finite.tolist(), strict=True)):
            if not whole:
                trial.order_rng.set_state(orders[member])
                outcomes.append(_alone(trial))
                continue
            model.write_back(member, trial.model.train())
            optimizer.write_back(member, trial.optimizer)
            trial.model_steps += steps
            outcomes.append(_outcome(trial, *means[member]))
        return outcomes


def kind(trial: Trial) -> tuple[object, ...]:
    """What trials that train together have in common: `pack_key`, and the sizes of their data."""
    train = trial.splits["train"]
    return pack_key(trial.config), train.images.shape, trial.classes, trial.device


def _alone(trial: Trial) -> Outcome:
    try:
        return trial.train_epoch()
    except DivergedError as error:
        return error


def _outcome(trial: Trial, classification: float, penalty: float) -> Outcome:
    try:
        return trial.end_epoch(classification, penalty)
    except DivergedError as error:
        return error
