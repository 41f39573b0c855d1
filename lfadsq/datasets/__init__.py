"""Demonstration data, and loaders for the formats people have."""
