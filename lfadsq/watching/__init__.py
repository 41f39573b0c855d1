"""Watching: which run is where, how far, what went wrong, what it said, and what GPUs do."""
