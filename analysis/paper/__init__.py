"""A sweep's results beside the tables of the paper, published.csv: `python -m analysis.paper`."""
