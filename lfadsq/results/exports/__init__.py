"""Writing what a run inferred in the formats of other tools."""
