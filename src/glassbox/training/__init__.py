"""Verbs over a model that change it.

loop.py            the training loop, from the first step to the last
step.py            one update of the weights: forward, backward, clip, update
validation.py      the loss on held-out text
parallel.py        several processes that share each batch
checkpoints.py     what survives a kill, a full disk and a damaged file
early_stopping.py  the best weights, and when to stop waiting for better ones
planning.py        "train for three minutes" as a number of steps, decided once
batch_size.py      the batch that this machine digests best
throughput.py      how fast this device multiplies matrices
memory.py          how much memory training takes
recipe.py          the default choices, each with its source
schedules.py       the learning rate of step t
precision.py       the number format that is fastest here
digits.py          the digit task, one step at a time, with any engine
"""
