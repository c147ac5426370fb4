"""Measurements beside rivals: docs/bench/README.md says how to read and repeat them."""
