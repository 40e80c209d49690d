"""Ten thousand trials through sweep.py: does the driver stay small, and is the last trial as quick as the first?

Run `python -m benchmarks.many_trials` (half an hour on two cores). The trials are real and as small as they can be:
eight images, one epoch, one attribution. It prints, a thousand trials at a time, seconds a trial, the driver's
processor seconds a trial and its memory; the last line compares the end with the start.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import typer

ROOT = Path(__file__).resolve().parent.parent
SPACE = """
from search_spaces import Primary, Space

def many():
    small = {{"n_train": 8, "n_valid": 8, "n_test": 8, "epochs": 1, "batch_size": 8, "attribution_images": 2}}
    small |= {{"attributions": ("input_gradient",), "dataset": "synthetic", "method": "baseline"}}
    trials = [{{**small, "seed": s, "data_seed": s}} for s in range({trials})]
    return Space("many", "as small as trials can be", trials, Primary(attribution="input_gradient"))
"""


@dataclass(frozen=True)
class Seen:
    """The driver at one moment."""

    trials: int
    at: float
    processor_seconds: float
    megabytes: float


def look(driver: psutil.Process, records: Path) -> Seen:
    with driver.oneshot():
        times, memory = driver.cpu_times(), driver.memory_info().rss / 1e6
    done = sum(1 for _ in records.glob("*.json")) if records.exists() else 0
    return Seen(done, time.monotonic(), times.user + times.system, memory)


def main(trials: int = 10_000, step: int = 1000) -> None:
    """Run `trials` trials and print what the driver needed for each `step` of them."""
    with tempfile.TemporaryDirectory(prefix="many-trials-") as folder:
        space = Path(folder) / "many.py"
        space.write_text(SPACE.format(trials=trials))
        command = [sys.executable, str(ROOT / "sweep.py"), "--space", str(space)]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        driver, records = psutil.Process(process.pid), Path(folder) / "sweeps/many/records"
        seen: list[Seen] = []
        while process.poll() is None and (not seen or seen[-1].trials < trials):
            time.sleep(1)
            now = look(driver, records)
            # The first two hundred trials pay for the start of Ray and of the trials' processes.
            if now.trials >= (seen[-1].trials + step if seen else 200) or now.trials == trials:
                seen.append(now)
                if len(seen) > 1:
                    print(line(seen[-2], now), flush=True)
        code = process.wait()
        if code or len(seen) < 3:
            raise SystemExit(f"sweep.py ended with {code}:\n{(Path(folder) / 'log').read_text()[-2000:]}")
        first, last = (per_trial(a, b) for a, b in (seen[:2], seen[-2:]))
        print(
            f"the last trials took {last[0] / first[0]:.2f} times as long as the first, the driver's processor time "
            f"{last[1] / first[1]:.2f} times; its memory grew by {seen[-1].megabytes - seen[0].megabytes:.0f} MB"
        )


def per_trial(before: Seen, after: Seen) -> tuple[float, float]:
    """Seconds, and the driver's processor seconds, a trial."""
    trials = after.trials - before.trials
    return (after.at - before.at) / trials, (after.processor_seconds - before.processor_seconds) / trials


def line(before: Seen, after: Seen) -> str:
    seconds, processor = per_trial(before, after)
    return (
        f"trials {before.trials:6,} to {after.trials:6,}: {seconds:6.3f} s a trial, of the driver's processor "
        f"{processor:6.4f} s; its memory {after.megabytes:6.0f} MB"
    )


if __name__ == "__main__":
    typer.run(main)
