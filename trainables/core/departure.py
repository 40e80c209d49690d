"""Where a method or a dataset does otherwise than its source."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Departure:
    """One difference from the source. docs/methods.md lists them all; Markdown."""

    source: str
    """What the source does, as in "the penalty is a sum"."""
    here: str
    """What is done here, and why."""
    way_back: str
    """The setting under which the source is followed, as in "`preset=paper`"; or why there is none."""
