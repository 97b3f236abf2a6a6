"""orderkeep: the order backbone for makers of made-to-order pieces."""

__version__ = "0.1.0"
