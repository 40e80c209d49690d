"""A method, a dataset, an attribution, a localisation metric and a model from another package."""
