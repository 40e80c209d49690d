"""Adam for stacked models: each member has its own learning rate and its own number of steps."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

State = dict[str, Tensor]
"""What torch.optim.Adam keeps of a parameter: step, exp_avg, exp_avg_sq."""


class StackedAdam:
    """The steps that torch.optim.Adam would make for each member by itself.

    All parameters lie in one vector, so that a step costs a handful of operations however many layers there are. What a
    member's optimiser has gathered is copied in; `write_back` copies it out.

    Source: Kingma & Ba, ICLR 2015, algorithm 1, in the order of operations of torch.optim.Adam. No weight decay, no
    AMSGrad, betas and epsilon of the first member's.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], optimizers: Sequence[torch.optim.Adam]):
        """
        Args:
            parameters: stacked ones, the members' along the first axis, one after the other. Moved into one vector.
            optimizers: one a member, over its parameters in the same order.
        """
        self.parameters = list(parameters)
        self.members = len(optimizers)
        groups = [optimizer.param_groups[0] for optimizer in optimizers]
        self.beta1, self.beta2 = groups[0]["betas"]
        self.eps = groups[0]["eps"]
        self.learning_rates = [group["lr"] for group in groups]
        states = [
            [_state(optimizer, p) for p in group["params"]] for optimizer, group in zip(optimizers, groups, strict=True)
        ]
        self.steps = [int(state[0]["step"]) for state in states]
        self.weights = torch.cat([p.detach().flatten() for p in self.parameters])
        self.mean, self.square = (
            torch.cat([state[i][name].flatten() for i in range(len(self.parameters)) for state in states])
            for name in ("exp_avg", "exp_avg_sq")
        )
        sizes = [p.numel() // self.members for p in self.parameters]
        owners = torch.arange(self.members).repeat(len(sizes))
        repeats = torch.tensor(sizes).repeat_interleave(self.members)
        self.owner = owners.repeat_interleave(repeats).to(self.weights.device)
        """Whose each entry of the vector is."""
        for parameter, part in zip(self.parameters, self._parts(self.weights), strict=True):
            parameter.data = part

    @torch.no_grad()
    def step(self, loss: Float[Tensor, ""]) -> None:
        """Differentiate the sum of the members' losses, and change the weights."""
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss, self.parameters)
        gradient = torch.cat([g.flatten() for g in gradients])
        self.steps = [step + 1 for step in self.steps]
        self.mean.lerp_(gradient, 1 - self.beta1)
        self.square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        sizes = [lr / (1 - self.beta1**t) for lr, t in zip(self.learning_rates, self.steps, strict=True)]
        corrections = [(1 - self.beta2**t) ** 0.5 for t in self.steps]
        denominator = (self.square.sqrt() / self._for_each(corrections)).add_(self.eps)
        self.weights.sub_(self.mean * self._for_each(sizes) / denominator)

    def write_back(self, member: int, optimizer: torch.optim.Adam) -> None:
        """Give one member's optimiser what it would have gathered by itself."""
        means, squares = self._parts(self.mean), self._parts(self.square)
        for number, parameter in enumerate(optimizer.param_groups[0]["params"]):
            state = optimizer.state[parameter] = _state(optimizer, parameter)
            state["step"].fill_(self.steps[member])
            for name, parts in (("exp_avg", means), ("exp_avg_sq", squares)):
                state[name].copy_(parts[number].chunk(self.members)[member].view_as(parameter))

    def _for_each(self, values: Sequence[float]) -> Float[Tensor, " weights"]:
        """One number a member, at each of its weights."""
        return torch.tensor(values, dtype=self.weights.dtype).to(self.owner.device)[self.owner]

    def _parts(self, vector: Float[Tensor, " weights"]) -> list[Tensor]:
        """The vector as tensors of the parameters' shapes."""
        pieces = vector.split([p.numel() for p in self.parameters])
        return [piece.view(p.shape) for piece, p in zip(pieces, self.parameters, strict=True)]


def _state(optimizer: torch.optim.Adam, parameter: Tensor) -> State:
    """What the optimiser has gathered for a parameter; zeros before its first step."""
    if parameter in optimizer.state:
        return optimizer.state[parameter]
    zeros = (torch.zeros_like(parameter) for _ in range(2))
    return {"step": torch.tensor(0.0), **dict(zip(("exp_avg", "exp_avg_sq"), zeros, strict=True))}
