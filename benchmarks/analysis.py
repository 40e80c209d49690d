"""Speed and memory of the analysis: the source of the README's figures.

Run `python -m benchmarks.analysis`. The time of all correlations of 10,000 trials x 5 attributions x 5 metrics, with
2,000 bootstrap replicates, is held against a plain loop that builds each replicate's table and asks scipy, measured on
a few replicates of one score in the same run. Both are processor seconds, so that a busy machine disturbs neither.
`--memory` prints the peak memory at 100,000 trials instead.
"""

import resource
import time

import numpy as np
import pandas as pd
import typer
from scipy import stats

import analysis
from analysis.cells import cell_rows, strata_of
from analysis.cluster_bootstrap import draw_resamples
from analysis.correlations import correlate
from records import columns

METRICS = ("iou", "iop", "iot", "pointing", "energy")
ATTRIBUTIONS = ("input_gradient", "integrated_gradients", "occlusion", "grad_cam", "smooth_grad")
METHODS, SEVERITIES = 7, 5
OUTCOME = "test_ood.auc"


def table(n_trials: int, strengths: int = 1) -> pd.DataFrame:
    """A sweep of 7 methods x 5 severities x strengths x as many data seeds as make `n_trials` or a few more."""
    seeds = -(-n_trials // (METHODS * SEVERITIES * strengths))
    severity, method, strength, seed = (axis.ravel() for axis in np.indices((SEVERITIES, METHODS, strengths, seeds)))
    rng = np.random.default_rng(0)
    outcome = rng.normal(size=len(seed))
    scores = {
        columns.localisation("test_ood", metric, attribution): 0.5 * outcome + rng.normal(size=len(seed))
        for metric in METRICS
        for attribution in ATTRIBUTIONS
    }
    return pd.DataFrame(
        {
            "dataset": "simulated",
            "severity": severity / (SEVERITIES - 1),
            "method": np.char.add("method ", method.astype(str)),
            "strength": strength.astype(float),
            "seed": seed,
            "data_seed": seed,
            OUTCOME: outcome,
            **scores,
        }
    )


def scipy_loop(frame: pd.DataFrame, column: str, counts: np.ndarray, cluster: np.ndarray) -> float:
    """Processor seconds of the bootstrap of one score with each replicate built: pooled, strata, cells; rho alone."""
    cells = cell_rows(frame)
    groups = [np.arange(len(frame)), *cells.values()]
    groups += [np.concatenate([cells[c] for c in members]) for members in strata_of(cells).values()]
    x, y = frame[column].to_numpy(), frame[OUTCOME].to_numpy()
    start = time.process_time()
    for drawn in counts:
        for rows in groups:
            expanded = np.repeat(rows, drawn[cluster[rows]].astype(int))
            stats.spearmanr(x[expanded], y[expanded])
    return time.process_time() - start


def main(
    trials: int = 10_000, replicates: int = 2000, loop: int = 20, strengths: int = 1, memory: bool = False
) -> None:
    """Time the grid and the loop, or show the peak memory.

    Args:
        trials: about so many.
        replicates: of the bootstrap, and as many permutations.
        loop: replicates that scipy is timed on.
        strengths: trials of a data seed in a cell.
        memory: analyse 100,000 trials and print the peak resident memory.
    """
    if memory:
        frame = table(100_000, strengths)
        start = time.process_time()
        analysis.analyse(frame, replicates=replicates)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"{len(frame):,} trials: {time.process_time() - start:.0f} s, {peak:.2f} GB at most")
        return
    frame = table(trials, strengths)
    resamples = draw_resamples(frame, replicates=replicates, seed=0)
    scores = [c for c in frame if columns.parse_localisation(c)]
    first = scipy_loop(frame, scores[0], resamples.counts[: loop // 2], resamples.cluster)
    start = time.process_time()
    correlate(frame, OUTCOME, resamples, seed=0)
    ours = time.process_time() - start
    second = scipy_loop(frame, scores[0], resamples.counts[: loop - loop // 2], resamples.cluster)
    theirs = (first + second) / loop * replicates * len(scores)
    print(f"{len(frame):,} trials, {len(scores)} scores, {replicates:,} replicates; processor seconds")
    print(f"the grid, with jackknife, permutations and Kendall's tau-b: {ours:8.1f} s")
    print(f"a loop over scipy, rho's bootstrap alone:                   {theirs:8.1f} s (from {loop} replicates)")
    print(f"ratio: {theirs / ours:.0f}")


if __name__ == "__main__":
    typer.run(main)
