"""How this analysis was done, as a paragraph for a paper, with the numbers of this very analysis."""

from analysis.answer.answer import Analysis
from analysis.report.numbers import count
from analysis.sections.estimand_words import axis_name, column_name

REFERENCES = (
    "Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57:289",
    "Dziugaite et al. 2020, NeurIPS, arXiv:2010.11924",
    "Field & Welsh 2007, J. R. Stat. Soc. B 69:369",
    "Fieller, Hartley & Pearson 1957, Biometrika 44:470",
    "Higgins & Thompson 2002, Stat. Med. 21:1539",
    "Jiang et al. 2020, ICLR, arXiv:1912.02178",
    "Kendall 1945, Biometrika 33:239",
    "MacKinnon, Nielsen & Webb 2023, J. Appl. Econom. 38:671",
    "Mundlak 1978, Econometrica 46:69",
    "Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657",
    "Simpson 1951, J. R. Stat. Soc. B 13:238",
    "Spearman 1904, Am. J. Psychol. 15:72",
    "Viviano et al. 2021, ICLR, arXiv:1910.00199",
    "Ying, Hase & Bansal 2022, NeurIPS, arXiv:2206.11212",
)


def methods_paragraph(analysis: Analysis) -> str:
    """Sentences in the past tense; what was not estimated is not mentioned."""
    table, found = analysis.trials.table, analysis.estimands
    left_out = sum(analysis.trials.excluded.values())
    within = analysis.find("within_cell")
    parts = [
        f"We analysed {count(len(table), 'training run')} ({left_out:,} more were excluded) of "
        f"{count(table['method'].nunique(), 'method')} on {count(table['dataset'].nunique(), 'dataset')} at "
        f"{count(table['severity'].nunique(), 'shift severity', 'shift severities')} with "
        f"{count(_most_data_seeds(analysis), 'data seed')} per dataset, after the design of Viviano et al. (2021).",
        f"The primary comparison was {column_name(analysis.primary.column)} against "
        f"{column_name(analysis.primary.outcome)}.",
        "Spearman’s ρ was computed within each cell (dataset × severity × method; midranks for ties) and combined by "
        "Fisher’s z with weights n − 3 (Fieller, Hartley & Pearson 1957)",
    ]
    if within is not None and within.q is not None:
        parts[-1] += (
            f", heterogeneity by Q = {within.q:.1f} on {(within.n_cells or 1) - 1} degrees of freedom and I² = "
            f"{100 * (within.i_squared or 0):.0f} % (Higgins & Thompson 2002)"
        )
    parts[-1] += (
        "; cells in which either score is constant or that have fewer than 4 runs were left out and counted, and no "
        "value was imputed."
    )
    parts.append(_intervals(analysis))
    parts.append(
        f"The answer follows from this interval and the smallest effect of interest, ρ = "
        f"{analysis.verdict.smallest_effect:g} (Schuirmann 1987); pooled correlations, which mix differences between "
        "methods and severities into the question (Simpson 1951), are reported and not used. Other localisation scores "
        "and strata were adjusted by the false discovery rate (Benjamini & Hochberg 1995)."
    )
    asked = _asked(analysis)
    if asked:
        parts.append(f"Beside it we report {_listed(asked)}.")
    if found.reliability.estimate is not None:
        parts.append(
            "Reliability was estimated from random halves of the test images, and the correlation was corrected for "
            "attenuation (Spearman 1904)."
        )
    return " ".join(parts)


def _most_data_seeds(analysis: Analysis) -> int:
    return int(analysis.trials.table.groupby("dataset")["data_seed"].nunique().max())


def _intervals(analysis: Analysis) -> str:
    within = analysis.find("within_cell")
    how = within.interval if within is not None else None
    psi = analysis.estimands.granulated_kendall
    bootstrap = (
        f"the percentile bootstrap over data seeds within datasets ({analysis.replicates:,} replicates, Field & Welsh "
        "2007)"
    )
    if how == "cluster_jackknife":
        text = (
            "Runs that share a data seed share their images, so 95 % intervals come from the delete-one-data-seed "
            "jackknife, of correlations on Fisher’s z scale, with Student’s t on data seeds − datasets degrees of "
            "freedom (MacKinnon, Nielsen & Webb 2023)"
        )
        return text + (f"; that of Ψ comes from {bootstrap}." if psi.ci_low is not None else ".")
    if how == "fisher_z":
        return "No two runs of a cell share a data seed; 95 % intervals are those of Fisher’s z."
    return "There are too few data seeds for an interval."


def _asked(analysis: Analysis) -> list[str]:
    found, asked = analysis.estimands, []
    if found.granulated_kendall.estimate is not None:
        axes = _listed([axis_name(a.axis) for a in found.granulated_kendall.axes if a.estimate is not None])
        asked.append(f"the granulated Kendall coefficient Ψ along {axes}, with τ-b (Kendall 1945; Jiang et al. 2020)")
    if found.sign_error.overall.mean is not None:
        asked.append("the robust sign error with Hoeffding weights (Dziugaite et al. 2020)")
    if found.conditional_mutual_information.estimate is not None:
        asked.append("the conditional mutual information of the two orders, normalised (Jiang et al. 2020)")
    if any(part.estimate is not None for part in found.partial):
        asked.append("the partial rank correlation given AUC on the in-distribution test set")
    if any(part.estimate is not None for part in found.incremental):
        asked.append("the gain of R² on held-out data seeds (Ying, Hase & Bansal 2022)")
    if found.mixed_model.coefficients and found.mixed_model.converged:
        asked.append("a within/between linear mixed model of the logit of accuracy (Mundlak 1978)")
    if any(part.estimate is not None for part in found.regret):
        asked.append("the regret of selecting a model by its in-distribution performance, its map, or both")
    return asked


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def references(paragraph: str) -> list[str]:
    """The references that a paragraph cites, in alphabetical order."""
    return [entry for entry in REFERENCES if entry.split(",")[0].rsplit(" ", 1)[0].removesuffix(" et al.") in paragraph]
