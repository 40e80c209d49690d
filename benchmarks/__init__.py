"""What the project claims about speed, rerunnable: `python -m benchmarks.<name>`; ratios within one run."""
