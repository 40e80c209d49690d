"""Ten thousand trials through sweep.py: does the driver stay small, and is the last trial as quick as the first?

Run `python -m benchmarks.many_trials` (half an hour on two cores). The trials are real and as small as they can be:
eight images, one epoch, one attribution. It prints, a thousand trials at a time, seconds a trial, the driver's
processor seconds a trial and its memory; the last line compares the end with the start.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import typer

from benchmarks.timing import ROOT

FIRST = 200
"""Trials that are not measured: Ray and the trials' processes start with them."""
SPACE = """
from search_spaces import Primary, Space

def many():
    small = {{"n_train": 8, "n_valid": 8, "n_test": 8, "epochs": 1, "batch_size": 8, "attribution_images": 2}}
    small |= {{"attributions": ("input_gradient",), "dataset": "synthetic", "method": "baseline"}}
    trials = [{{**small, "seed": s, "data_seed": s}} for s in range({trials})]
    return Space("many", "as small as trials can be", trials, Primary(attribution="input_gradient"))
"""


def look(driver: psutil.Process, records: Path) -> np.ndarray:
    """Finished trials, the time, and the driver's processor seconds and MB."""
    with driver.oneshot():
        times, memory = driver.cpu_times(), driver.memory_info().rss / 1e6
    done = sum(1 for _ in records.glob("*.json")) if records.exists() else 0
    return np.array([done, time.monotonic(), times.user + times.system, memory])


def main(trials: int = 10_000, step: int = 1000) -> None:
    """Run `trials` trials and print what the driver needed for each `step` of them."""
    with tempfile.TemporaryDirectory(prefix="many-trials-") as name:
        folder = Path(name)
        (folder / "many.py").write_text(SPACE.format(trials=trials))
        command = [sys.executable, str(ROOT / "sweep.py"), "--space", str(folder / "many.py")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        driver, records = psutil.Process(process.pid), folder / "sweeps/many/records"
        seen: list[np.ndarray] = []
        costs: list[np.ndarray] = []
        while process.poll() is None and (not seen or seen[-1][0] < trials):
            time.sleep(1)
            now = look(driver, records)
            if now[0] < (seen[-1][0] + step if seen else FIRST) and now[0] != trials:
                continue
            if seen:
                done, *used, _ = now - seen[-1]
                costs.append(np.array(used) / done)
                print(
                    f"trials {seen[-1][0]:6,.0f} to {now[0]:6,.0f}: {costs[-1][0]:6.3f} s a trial, of the driver's "
                    f"processor {costs[-1][1]:6.4f} s; its memory {now[3]:6.0f} MB",
                    flush=True,
                )
            seen.append(now)
        code = process.wait()
        if code or len(costs) < 2:
            raise SystemExit(f"sweep.py ended with {code}:\n{(folder / 'log').read_text()[-2000:]}")
        seconds, processor = costs[-1] / costs[0]
        print(
            f"the last trials took {seconds:.2f} times as long as the first, the driver's processor time "
            f"{processor:.2f} times; its memory grew by {seen[-1][3] - seen[0][3]:.0f} MB"
        )


if __name__ == "__main__":
    typer.run(main)
