"""The sources of the numbers in docs/performance.md, docs/scale.md and docs/calibration.md."""
