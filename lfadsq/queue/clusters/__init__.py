"""Clusters: jobs of a batch system as machines of a queue."""
