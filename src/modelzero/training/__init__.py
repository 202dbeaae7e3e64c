"""Training: the loop, its clock and device, and the run that it produces."""
