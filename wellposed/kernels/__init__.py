"""The hot loops, one file per family, and the one rule that compiles them."""
