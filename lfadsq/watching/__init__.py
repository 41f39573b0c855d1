"""Watching: which run is where, how far, and what went wrong. Nothing here changes a collection."""
