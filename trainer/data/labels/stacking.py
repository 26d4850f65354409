"""How characters that stand below one another are laid side by side: in training data as when numbers are read."""

MOST_STACKED = 5  # characters
PITCH = (1.1, 2.5)  # from one stacked character to the next, relative to their width
