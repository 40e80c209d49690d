"""From records to the answer: does a better saliency map mean better generalization?

    load.py, from_mlflow.py    trials from storage, a file or MLflow; validate.py says what is kept, and
                               direction.py that a larger score is a better one
    answer.py                  analyse: trials in, every correlation and the verdict out
    correlations.py            the grid of correlation.py; its parts: correlation_samples, correlation_pair,
                               rank_correlation, within_cell, between_methods,
                               cluster_jackknife, cluster_bootstrap, permutation, multiplicity, power, simpson
    verdict.py                 yes, no or undecided
    estimands.py               what else one score is asked; its parts: granulated_kendall, sign_error,
                               conditional_mutual_information, partial_rank_correlation, incremental_r2,
                               mixed_model, selection_regret, reliability; configurations.py says which
                               trials differ in one setting
    mask_controls.py           wrong masks and fewer masks against right ones
    selection_rules.py         one rule is analysed, the others are compared with it
    compare.py                 two sweeps: where they differ; comparison_report.py writes it
    paper.py                   python -m analysis.paper: results beside the published ones
    report.py                  report.html, .md and .json with figures/ and tables/

    trials = analysis.load_sweep("sweeps", "smoke")
    result = analysis.analyse(trials)
    analysis.write_report(result, "sweeps/smoke/report")

Neither torch nor Ray is imported here, and importing this package loads neither matplotlib nor jinja2 nor
mlflow.
"""

from analysis.answer.answer import Analysis as Analysis
from analysis.answer.answer import analyse as analyse
from analysis.answer.entry import Correlation as Correlation
from analysis.answer.estimands import Estimands as Estimands
from analysis.answer.estimands import estimands_of as estimands_of
from analysis.answer.verdict import Verdict as Verdict
from analysis.compare.differences import Comparison as Comparison
from analysis.compare.differences import compare as compare
from analysis.compare.report import write_comparison as write_comparison
from analysis.errors import AnalysisError as AnalysisError
from analysis.report.report import write_report as write_report
from analysis.trials.exclusions import trials_from_table as trials_from_table
from analysis.trials.from_mlflow import load_mlflow as load_mlflow
from analysis.trials.load import load_file as load_file
from analysis.trials.load import load_sweep as load_sweep
from analysis.trials.trials import Primary as Primary
from analysis.trials.trials import Trials as Trials
