"""The sweep's progress for Prometheus, through Ray's metrics; k8s/monitoring/ has a dashboard.

Ray adds the prefix `ray_` and exports them on each node's metrics port. Without a dashboard agent, as on a laptop, they
are dropped.
"""

from ray.util.metrics import Gauge

from driver.view.progress import Progress

TRIALS = "saliency_sweep_trials"
RATE = "saliency_sweep_trials_per_minute"
TIME_LEFT = "saliency_sweep_seconds_left"
STATES = ("completed", "failed", "diverged", "running", "waiting")


class SweepMetrics:
    """Gauges of one sweep, labelled with its name."""

    def __init__(self, sweep: str):
        self.sweep = {"sweep": sweep}
        self.trials = Gauge(TRIALS, "Trials of the sweep by state", ("sweep", "state"))
        self.rate = Gauge(RATE, "Trials finished per minute", ("sweep",))
        self.time_left = Gauge(TIME_LEFT, "Seconds until the sweep is done at this rate", ("sweep",))

    def update(self, progress: Progress) -> None:
        facts, counts = progress.facts(), progress.counts
        bad = {status: counts[status] for status in ("failed", "diverged")}
        numbers = {"completed": facts["done"] - progress.bad, **bad, **facts}
        for state in STATES:
            self.trials.set(numbers[state], {**self.sweep, "state": state})
        for gauge, value in ((self.rate, facts["trials_a_minute"]), (self.time_left, facts["seconds_left"])):
            if value is not None:
                gauge.set(value, self.sweep)
