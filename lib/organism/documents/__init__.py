"""The kinds of text in the world, one module each; every maker is ``f(dice, world) -> Document``."""
