"""The error that users of the analysis meet."""


class AnalysisError(Exception):
    """Data or arguments that cannot be analysed; the message names the value, the allowed ones and how to fix it."""
