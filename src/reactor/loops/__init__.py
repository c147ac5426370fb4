"""Reactors: one base with everything they share, and for each kind of loop what only it can supply."""
