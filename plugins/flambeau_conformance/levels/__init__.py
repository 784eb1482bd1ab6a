"""The levels of the suite: one module each, with `cases(subject)`."""
