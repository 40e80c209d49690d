"""Speed and memory of the analysis: the source of the numbers in docs/performance.md.

Run `python -m benchmarks.analysis`. It compares the time of all correlations of 10,000 trials x 5 attributions x 5
metrics, with 2,000 bootstrap replicates, with plain loops over scipy that build each replicate's table, measured on
a few turns for one score in the same run. `--trials 100000 --memory` prints time and peak memory of the whole analysis
of 100,000 trials instead. Times are processor seconds.
"""

import resource
from functools import partial

import numpy as np
import pandas as pd
import typer
from scipy import stats

import analysis
from analysis.answer.correlations import correlate
from analysis.stats.cluster_bootstrap import Resamples, draw_resamples
from analysis.trials.design import cell_rows, strata_of
from benchmarks.timing import processor_seconds
from records import columns

METRICS = ("iou", "iop", "iot", "pointing", "energy")
ATTRIBUTIONS = ("input_gradient", "integrated_gradients", "occlusion", "grad_cam", "smooth_grad")
SCORES = [columns.localisation("test_ood", metric, name) for metric in METRICS for name in ATTRIBUTIONS]
METHODS, SEVERITIES = 7, 5
OUTCOME = "test_ood.auc"
REPLICATES = 2000


def table(n_trials: int) -> pd.DataFrame:
    """A sweep of 7 methods x 5 severities x the data seeds needed for at least `n_trials` trials."""
    seeds = -(-n_trials // (METHODS * SEVERITIES))
    severity, method, seed = (axis.ravel() for axis in np.indices((SEVERITIES, METHODS, seeds)))
    rng = np.random.default_rng(0)
    outcome = rng.normal(size=len(seed))
    design = {
        "dataset": "simulated",
        "severity": severity / (SEVERITIES - 1),
        "method": np.char.add("method ", method.astype(str)),
        "seed": seed,
        "data_seed": seed,
        OUTCOME: outcome,
    }
    return pd.DataFrame(design | {score: 0.5 * outcome + rng.normal(size=len(seed)) for score in SCORES})


def scipy_loops(frame: pd.DataFrame, column: str, resamples: Resamples, n: int) -> dict[str, float]:
    """Processor seconds of plain loops over scipy for all replicates of one score, from n turns of each.

    They compute the same as the grid: rho of each bootstrap replicate, rho and tau-b without each data seed, pooled, in
    strata and in cells; and rho within cells of each permutation.
    """
    cells = cell_rows(frame)
    strata = [np.concatenate([cells[cell] for cell in members]) for members in strata_of(cells).values()]
    samples = [np.arange(len(frame)), *strata, *cells.values()]
    x, y = frame[column].to_numpy(), frame[OUTCOME].to_numpy()
    cluster, counts = resamples.cluster, resamples.counts
    rng = np.random.default_rng(0)

    def bootstrap(turn: int) -> None:
        for rows in samples:
            drawn = np.repeat(rows, counts[turn, cluster[rows]].astype(int))
            stats.spearmanr(x[drawn], y[drawn])

    def deletion(turn: int) -> None:
        for rows in samples:
            kept = rows[cluster[rows] != turn]
            stats.spearmanr(x[kept], y[kept])
            stats.kendalltau(x[kept], y[kept])

    def permutation(_: int) -> None:
        for rows in cells.values():
            stats.spearmanr(rng.permutation(x[rows]), y[rows])

    turns = {bootstrap: len(counts), deletion: counts.shape[1], permutation: len(counts)}
    seconds = {work: processor_seconds(partial(list, map(work, range(n)))) for work in turns}
    return {work.__name__: seconds[work] / n * needed for work, needed in turns.items()}


def main(trials: int = 10_000, loop: int = 10, memory: bool = False) -> None:
    """Time the grid and `loop` turns of each loop over scipy, or print the peak `memory` of an analysis."""
    frame = table(trials)
    if memory:
        seconds = processor_seconds(lambda: analysis.analyse(frame, replicates=REPLICATES))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"{len(frame):,} trials: {seconds:.0f} s, {peak:.2f} GB at most")
        return
    resamples = draw_resamples(frame, replicates=REPLICATES, seed=0)
    grid = processor_seconds(lambda: correlate(frame, OUTCOME, resamples, seed=0))
    loops = {name: s * len(SCORES) for name, s in scipy_loops(frame, SCORES[0], resamples, loop).items()}
    by_loop = ", ".join(f"{name} {seconds:.0f}" for name, seconds in loops.items())
    print(f"{len(frame):,} trials, {len(SCORES)} scores, {REPLICATES:,} replicates; processor seconds")
    print(f"all correlations: {grid:.1f}")
    print(f"loops over scipy: {sum(loops.values()):.0f} ({by_loop}; from {loop} turns of each for one score)")
    print(f"ratio: {sum(loops.values()) / grid:.0f}")


if __name__ == "__main__":
    typer.run(main)
