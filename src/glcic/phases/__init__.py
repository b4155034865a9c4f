"""The three training phases: the mathematics of each in a file of its own, and the health of the joint one."""
