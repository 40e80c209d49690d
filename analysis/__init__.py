"""From records to the answer: does a better saliency map mean better generalization?

    trials/      trials from storage, a file or MLflow; which of them are kept, and which settings differ
    stats/       arrays in, dataclasses out: rank correlations, intervals, permutations, power
    answer/      every correlation of a sweep, and the verdict
    sections/    one file per part of the report: its result, sentence, table, figure and citations
    report/      report.html, .md and .json with figures/ and tables/: loops over the sections
    compare/     two sweeps: where they differ
    paper/       python -m analysis.paper: results beside the published ones

    trials = analysis.load_sweep("sweeps", "smoke")
    result = analysis.analyse(trials)
    result.verdict, result.results["granulated_kendall"]
    analysis.write_report(result, "sweeps/smoke/report")

Neither torch nor Ray is imported here, and importing this package loads neither matplotlib nor jinja2 nor
mlflow.
"""

from analysis.answer.answer import Analysis as Analysis
from analysis.answer.entry import Correlation as Correlation
from analysis.answer.verdict import Verdict as Verdict
from analysis.compare.differences import SweepComparison as SweepComparison
from analysis.compare.differences import compare as compare
from analysis.compare.report import write_comparison as write_comparison
from analysis.errors import AnalysisError as AnalysisError
from analysis.report.report import write_report as write_report
from analysis.sections import SECTIONS as SECTIONS
from analysis.sections import analyse as analyse
from analysis.trials.exclusions import trials_from_table as trials_from_table
from analysis.trials.from_mlflow import load_mlflow as load_mlflow
from analysis.trials.load import load_file as load_file
from analysis.trials.load import load_sweep as load_sweep
from analysis.trials.trials import Primary as Primary
from analysis.trials.trials import Trials as Trials
