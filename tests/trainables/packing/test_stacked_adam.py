"""Each member's step is torch.optim.Adam's."""

import torch
from torch import nn

from trainables.packing.stacked_adam import StackedAdam


def test_members_step_as_by_themselves_whatever_their_learning_rates_and_step_counts():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (4,)]
    alone = [[nn.Parameter(torch.randn(*s, generator=generator, dtype=torch.float64)) for s in shapes] for _ in "ab"]
    optimizers = [torch.optim.Adam(own, lr=lr) for own, lr in zip(alone, (1e-3, 0.3), strict=True)]

    def step_alone(member, scale):
        optimizers[member].zero_grad()
        sum((scale * p).sin().sum() for p in alone[member]).backward()
        optimizers[member].step()

    step_alone(1, 1.0)
    stacked = [nn.Parameter(torch.cat([own[i].detach() for own in alone])) for i in range(len(shapes))]
    together = StackedAdam(stacked, optimizers)
    copies = [torch.optim.Adam([nn.Parameter(p.detach().clone()) for p in own]) for own in alone]
    for scale in (0.5, 2.0, 1.0):
        together.step(sum((scale * p).sin().sum() for p in stacked))
        for member in (0, 1):
            step_alone(member, scale)
    for member, own in enumerate(alone):
        for whole, parameter in zip(stacked, own, strict=True):
            torch.testing.assert_close(whole.detach().chunk(2)[member], parameter.detach(), rtol=1e-13, atol=0)
        together.write_back(member, copies[member])
        pairs = zip(copies[member].param_groups[0]["params"], own, strict=True)
        for state, expected in ((copies[member].state[c], optimizers[member].state[p]) for c, p in pairs):
            torch.testing.assert_close(dict(state), dict(expected), rtol=1e-13, atol=0)
