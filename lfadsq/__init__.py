"""Train LFADS models on every GPU a lab may use."""
