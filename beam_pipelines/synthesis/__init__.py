"""Images of synthetic numbers, each a function of (seed, index): drawn in typefaces, or from MNIST or real digits."""
