"""Trials that train together, an epoch at a time."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from trainables.memory import may_pass
from trainables.packing.pack import pack_key
from trainables.packing.stacked_adam import StackedAdam
from trainables.packing.stacked_batch import StackedData
from trainables.packing.stacked_loss import stacked_loss
from trainables.packing.stacked_model import StackedModel
from trainables.trial import Trial

Outcome = dict[str, float] | Exception
"""Of one trial's epoch: what `Trial.train_epoch` returns, or what it raises."""


@dataclass(frozen=True)
class TrainedStack:
    """After an epoch's last step, before it is taken apart."""

    model: StackedModel
    optimizer: StackedAdam
    steps: int
    finite: list[bool]
    """Whether each member's loss was finite at each step."""
    means: list[list[float]]
    """Each member's classification loss and penalty."""


class StackedTrials:
    """Trials of one kind (see `kind`) that train as one stacked model, each as it would by itself but for rounding.

    They are stacked anew for each epoch and taken apart after it, so that between two epochs each trial is a trial as
    any other: it is validated, selects its weights and leaves checkpoints that also continue it alone.

    A trial whose loss does not stay finite trains that epoch again by itself, and so ends as it would have ended;
    nothing of it reaches the others. Where the memory has no room for all, they train half and half; where the stack
    fails otherwise, each by itself, so that whose fault it was fails alone.
    """

    def __init__(self, trials: Sequence[Trial]):
        """
        Args:
            trials: at least one; none has finished.
        """
        if len({kind(trial) for trial in trials}) != 1:
            raise ValueError("trials of more than one kind; stack those of each `kind` by themselves")
        self.trials = tuple(trials)
        self._parts: list[StackedTrials] = []
        """What trains in place of a stack that failed."""
        self._data: StackedData | None = None

    def train_epoch(self) -> list[Outcome]:
        """Train an epoch of each trial; what becomes of each, in their order.

        Raises:
            Exception: one that `may_pass`, of a single trial. Others may have trained by then: go on from checkpoints.
        """
        if len(self.trials) == 1:
            return [_outcome(self.trials[0].train_epoch)]
        if not self._parts:
            orders = [trial.order_rng.get_state() for trial in self.trials]
            try:
                stack = self._train_stack()
            except Exception as error:
                size = 1
                if may_pass(error):
                    size = (len(self.trials) + 1) // 2
                else:
                    traceback.print_exception(error)
            else:
                return [self._take_out(member, stack, order) for member, order in enumerate(orders)]
            for trial, order in zip(self.trials, orders, strict=True):
                trial.order_rng.set_state(order)
            self._data = None
            self._parts = [StackedTrials(self.trials[i : i + size]) for i in range(0, len(self.trials), size)]
            torch.cuda.empty_cache()
        return [outcome for part in self._parts for outcome in part.train_epoch()]

    def _train_stack(self) -> TrainedStack:
        """The epoch's steps. Of the trials themselves it changes the streams that draw the batches' order alone."""
        trials = self.trials
        self._data = self._data or StackedData(trials)
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
        return TrainedStack(model, optimizer, steps, finite.tolist(), (losses / seen).T.tolist())

    def _take_out(self, member: int, stack: TrainedStack, order: torch.Tensor) -> Outcome:
        """Give one trial what it would have by itself, and end its epoch."""
        trial = self.trials[member]
        if not stack.finite[member]:
            trial.order_rng.set_state(order)
            return _outcome(trial.train_epoch)
        stack.model.write_back(member, trial.model.train())
        stack.optimizer.write_back(member, trial.optimizer)
        trial.model_steps += stack.steps
        classification, penalty = stack.means[member]
        return _outcome(partial(trial.end_epoch, classification, penalty))


def kind(trial: Trial) -> tuple[object, ...]:
    """What trials that train together have in common: `pack_key`, and the sizes of their data."""
    train = trial.splits["train"]
    return pack_key(trial.config), train.images.shape, trial.classes, trial.device


def _outcome(work: Callable[[], dict[str, float]]) -> Outcome:
    try:
        return work()
    except Exception as error:
        if may_pass(error):
            raise
        return error
