"""The published results that a sweep's are shown beside. No test asserts on them, and nothing is tuned to them."""

import csv
from pathlib import Path

MeanSd = tuple[float, float]
"""Mean and standard deviation over seeds."""
Place = tuple[str, float]
"""Dataset and severity."""


def _read(path: Path) -> dict[Place, dict[str, dict[str, MeanSd]]]:
    results: dict[Place, dict[str, dict[str, MeanSd]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            methods = results.setdefault((row["dataset"], float(row["severity"])), {})
            methods.setdefault(row["method"], {})[row["column"]] = (float(row["mean"]), float(row["sd"]))
    return results


PUBLISHED = _read(Path(__file__).with_name("published.csv"))
"""By place, method and record column, in the order of published.csv.

Source: Viviano et al., ICLR 2021 (arXiv 1910.00199), mean and standard deviation over about ten seeds, from the
authors' tables of 16 November 2020; "shuffled" from the tables before it was dropped from them, AUC alone. Severity 0.8
is the paper's ratio r = 0.9, severity 0 is r = 0.5.
"""
