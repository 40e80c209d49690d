"""The answer on simulated sweeps whose truth is known: the source of docs/calibration.md.

`scenarios` lists the kinds of sweeps, `sweeps` simulates them, `truth` says what is true, `measure` holds the answer
against it and `grid` the intervals of the report's grid; `page` writes the tables.
"""
