"""Watching: what GPUs do and did, from what queues and trainings leave on the disk."""
