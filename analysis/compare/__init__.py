"""Two sweeps side by side: where do their answers, their outcomes and their maps differ?

- differences.py: the differences, paired by data seed
- report.py: report.html, .md and .json with tables/
- figure.py: the forest plot of both
"""

from analysis.compare.differences import SweepComparison as SweepComparison
from analysis.compare.differences import compare as compare
from analysis.compare.report import write_comparison as write_comparison
