"""Ten thousand trials through sweep.py: does the driver stay small, and is the last trial as quick as the first?

Run `python -m benchmarks.many_trials` (half an hour on two cores). The trials are real and as small as they can be:
eight images, one epoch, one attribution. It prints, a thousand trials at a time, seconds a trial, the driver's
processor seconds a trial and its memory; the last line compares the end with the start.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import typer

from benchmarks.sweep_overhead import start_sweep

FIRST = 200
"""Trials that are not measured: Ray and the trials' processes start with them."""


def main(trials: int = 10_000, step: int = 1000) -> None:
    """Run `trials` trials and print what the driver needed for each `step` of them."""
    with tempfile.TemporaryDirectory(prefix="many-trials-") as name:
        folder = Path(name)
        with (folder / "log").open("wb") as log:
            process = start_sweep(folder, "minimal", trials, stdout=log, stderr=log)
        driver = psutil.Process(process.pid)
        costs: list[np.ndarray] = []
        memories: list[float] = []
        done, start = 0, np.zeros(2)
        while process.poll() is None and done < trials:
            time.sleep(1)
            now = sum(1 for _ in (folder / "sweeps/overhead/records").glob("*.json"))
            if now < (done + step if memories else FIRST) and now != trials:
                continue
            with driver.oneshot():
                used = np.array([time.monotonic(), sum(driver.cpu_times()[:2])])
                memories.append(driver.memory_info().rss / 1e6)
            if len(memories) > 1:
                costs.append((used - start) / (now - done))
                print(
                    f"trials {done:6,} to {now:6,}: {costs[-1][0]:6.3f} s a trial, of the driver's processor "
                    f"{costs[-1][1]:6.4f} s; its memory {memories[-1]:6.0f} MB",
                    flush=True,
                )
            done, start = now, used
        code = process.wait()
        if code or len(costs) < 2:
            raise SystemExit(f"sweep.py ended with {code}:\n{(folder / 'log').read_text()[-2000:]}")
        seconds, processor = costs[-1] / costs[0]
        print(
            f"the last trials took {seconds:.2f} times as long as the first, the driver's processor time "
            f"{processor:.2f} times; its memory grew by {memories[-1] - memories[0]:.0f} MB"
        )


if __name__ == "__main__":
    typer.run(main)
