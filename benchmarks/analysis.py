"""Speed and memory of the analysis: the source of the numbers in docs/performance.md.

Run `python -m benchmarks.analysis`. It compares the time of all correlations of 10,000 trials x 5 attributions x 5
metrics, with 2,000 bootstrap replicates, with plain loops over scipy that build each replicate's table, measured on
a few turns for one score in the same run. Both are processor seconds, so that a busy machine disturbs neither.
`--trials 100000 --memory` prints time and peak memory of the whole analysis of 100,000 trials instead.
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
from benchmarks import processor_seconds
from records import columns

METRICS = ("iou", "iop", "iot", "pointing", "energy")
ATTRIBUTIONS = ("input_gradient", "integrated_gradients", "occlusion", "grad_cam", "smooth_grad")
METHODS, SEVERITIES = 7, 5
OUTCOME = "test_ood.auc"


def table(n_trials: int, strengths: int = 1) -> pd.DataFrame:
    """A sweep of 7 methods x 5 severities x strengths x the data seeds needed for at least `n_trials` trials."""
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


def scipy_loops(frame: pd.DataFrame, column: str, resamples: Resamples, n: int) -> dict[str, float]:
    """Processor seconds of plain loops over scipy for all replicates of one score, from n turns of each.

    They compute the same as the grid: rho of each bootstrap replicate, rho and tau-b without each data seed, pooled, in
    strata and in cells; and rho within cells of each permutation.
    """
    cells = list(cell_rows(frame).values())
    strata = [
        np.concatenate([cell_rows(frame)[c] for c in members]) for members in strata_of(cell_rows(frame)).values()
    ]
    samples = [np.arange(len(frame)), *strata, *cells]
    x, y = frame[column].to_numpy(), frame[OUTCOME].to_numpy()
    cluster, counts = resamples.cluster, resamples.counts
    rng = np.random.default_rng(0)

    def bootstrap(turn: int) -> None:
        for rows in samples:
            drawn = np.repeat(rows, counts[turn, cluster[rows]].astype(int))
            stats.spearmanr(x[drawn], y[drawn])

    def deletion(turn: int) -> None:
        for rows in samples:
            left = rows[cluster[rows] != turn]
            stats.spearmanr(x[left], y[left])
            stats.kendalltau(x[left], y[left])

    def permutation(_: int) -> None:
        for rows in cells:
            stats.spearmanr(rng.permutation(x[rows]), y[rows])

    seconds = {}
    times = {bootstrap: len(counts), deletion: counts.shape[1], permutation: len(counts)}
    for work, needed in times.items():
        seconds[work.__name__] = sum(processor_seconds(partial(work, turn)) for turn in range(n)) / n * needed
    return seconds


def main(
    trials: int = 10_000, replicates: int = 2000, loop: int = 10, strengths: int = 1, memory: bool = False
) -> None:
    """Time the grid and the loop, or show the peak memory.

    Args:
        trials: their approximate number.
        replicates: number of bootstrap replicates and of permutations.
        loop: timed turns of each loop over scipy.
        strengths: trials per data seed in a cell.
        memory: only analyse the table, and print the peak resident memory.
    """
    frame = table(trials, strengths)
    if memory:
        seconds = processor_seconds(lambda: analysis.analyse(frame, replicates=replicates))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"{len(frame):,} trials: {seconds:.0f} s, {peak:.2f} GB at most")
        return
    resamples = draw_resamples(frame, replicates=replicates, seed=0)
    scores = [str(c) for c in frame if columns.parse_localisation(str(c))]
    ours = processor_seconds(lambda: correlate(frame, OUTCOME, resamples, seed=0))
    loops = scipy_loops(frame, scores[0], resamples, loop)
    theirs = sum(loops.values()) * len(scores)
    print(f"{len(frame):,} trials, {len(scores)} scores, {replicates:,} replicates; processor seconds")
    print(f"all correlations: {ours:.1f}")
    parts = ", ".join(f"{name} {seconds * len(scores):.0f}" for name, seconds in loops.items())
    print(f"loops over scipy: {theirs:.0f} ({parts}; from {loop} turns of each for one score)")
    print(f"ratio: {theirs / ours:.0f}")


if __name__ == "__main__":
    typer.run(main)
