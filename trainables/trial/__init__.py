"""One trial, from flat settings to its scores.

resolve.py         flat settings -> a checked TrialConfig
trial.py           Trial, which ties the steps below together
data.py            the splits, and the training masks under mask controls
train.py           model, method and optimiser; one epoch of steps
select.py          which epoch's weights are scored
evaluate.py        AUC, accuracy and loss
probes.py          AUC on images whose outside is altered
explain.py         attribution maps and their scores
same_training.py   trials that share one training
training.py        a training and the records of its trials
finished.py        run_trial and load_model: a finished trial with its model
"""
