"""Trials in Ray Tune: the trainables, and the records that they leave."""
