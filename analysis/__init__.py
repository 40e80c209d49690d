"""From records to the answer: does a better saliency map mean better generalization?

    trials = analysis.load_sweep("sweeps", "smoke")
    result = analysis.analyse(trials)
    result.verdict, result.results["granulated_kendall"]
    analysis.write_report(result, "sweeps/smoke/report")

Importing this package loads neither torch and Ray nor matplotlib, jinja2 and mlflow.
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
