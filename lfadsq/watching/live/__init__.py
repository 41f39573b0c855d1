"""A collection live in the terminal: what is shown (pure), and the widgets that show it."""
