"""Plain data and small tools: configuration, registry, errors, random streams, batches, pictures.

Imports no registry, so that methods, models, datasets and measures can all build on it.
"""
