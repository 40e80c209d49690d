"""The answer on simulated sweeps whose truth is known: the source of docs/calibration.md.

`sweeps` simulates, `truth` says what is true, `measure` holds the analysis against it, `page` writes the table.
"""
