"""Reactors: one base with the common part, and for each kind of loop its own part."""
