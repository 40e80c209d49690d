"""Baseline: cross-entropy on the images as they are."""

from trainables.methods.method import Method


class Baseline(Method):
    """CE(f(x), y), batch mean. The mask is not used.

    Source: Viviano et al., ICLR 2021, row "Baseline".
    """

    reads_preset = False
    reads_masks = False
