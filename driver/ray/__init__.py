"""Trials on Ray."""
