"""Trials in Ray Tune: the trainables, and the records and artifacts that their trainings leave."""
