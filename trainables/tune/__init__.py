"""Trials in Ray Tune.

trainable.py   TrialTrainable, and TRAINABLES with one for each method
training.py    a training that leaves checkpoints, failures and records
recorder.py    Recorder: the durable record and the artifacts
"""
