"""Training and evaluating LFADS models: the program behind ``lfadsq train`` and ``run_lfads.py``.

Only `flags` may be imported without TensorFlow.
"""
