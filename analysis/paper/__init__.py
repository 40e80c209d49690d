"""A sweep's results beside the tables of the paper: `python -m analysis.paper`. Its numbers are in published.csv."""
