"""Train stacks of linear layers in one compiled kernel: the same arithmetic, without the overhead."""
