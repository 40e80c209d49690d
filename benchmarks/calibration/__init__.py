"""The answer on simulated sweeps whose truth is known: the source of docs/calibration.md."""
