"""Plain data and small tools: configurations, options, registries, errors, random streams. Imports no registry."""
