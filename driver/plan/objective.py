"""What a search maximises."""

from records import columns

SAMPLER = "tpe"
"""What `hp.searcher` says of a search's trials. A tree-structured Parzen estimator: Bergstra et al., NeurIPS 2011."""


def objective(selection: str, measure: str = "auc") -> str:
    """The column of the validation AUC, on the split that the epoch is selected by; ID for the last epoch."""
    return columns.performance("valid_ood" if selection == "best_valid_ood" else "valid_id", measure)
