"""LFADS itself, pure: configuration, parameters, forward pass, costs, optimiser (NUMERICS.md).

Parameters are a plain dictionary from variable name to tensor that moves through pure functions;
noise and dropout masks are arguments, so the same functions serve training, evaluation and tests.
"""
