"""What several methods share.

region.py        the pixels outside the mask, means over them, dilation
altered.py       altered copies of images, and how a method trains on them
grad_cam.py      a differentiable Grad-CAM, and masks at its resolution
layer_walk.py    a walk over a model's layers, by a rule for each type of layer
"""
