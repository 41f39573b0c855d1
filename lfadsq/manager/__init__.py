"""What to run: datasets, hyperparameters, run specifications, and the files made from them."""
