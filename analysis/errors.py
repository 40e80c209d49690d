"""The one error that users of the analysis meet."""


class AnalysisError(Exception):
    """Data or arguments that cannot be analysed; the message names the value, what is allowed, the mend."""
