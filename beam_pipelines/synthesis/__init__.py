"""Images of made-up numbers, each a function of (seed, index): drawn in typefaces, from MNIST, of real digits."""
