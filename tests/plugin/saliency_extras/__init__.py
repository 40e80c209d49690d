"""A method, a dataset, an attribution and a localisation metric that another package brings."""
