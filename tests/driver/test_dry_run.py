"""What a dry run says of the size of a plan."""

import io

from rich.console import Console

from driver.plan.plan import Plan
from driver.view.dry_run import show_plan
from search_spaces import Primary, Space
from trainables import resolve


def test_numbers_are_written_alike_and_the_declared_primary_is_named(monkeypatch):
    monkeypatch.setattr("driver.plan.cost.estimated_seconds", lambda pending: 3600.0)
    config, out = resolve({}), io.StringIO()
    trials = {str(number): config for number in range(3000)}
    plan = Plan(Space("large", "", (), Primary(metric="iop")), trials)
    show_plan(Console(file=out, width=200), "here", plan, [config] * 1500, 2)
    assert "3,000 trials in here, 1,500 done, 1,500 to run" in out.getvalue()
    assert "Primary analysis: test_ood.iop.integrated_gradients against test_ood.auc" in out.getvalue()
    assert "About 0:30:00 with 2 trials at a time" in out.getvalue()
