"""The sources of the numbers in docs/performance.md and docs/calibration.md, and what several of them share."""

import time
from collections.abc import Callable


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of `work` in this process, which other processes disturb little."""
    start = time.process_time()
    work()
    return time.process_time() - start
