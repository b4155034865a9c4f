"""The networks: two that complete images, two that judge them, and what they cost.

Nothing is imported here: a stage would depend on every network.
"""
