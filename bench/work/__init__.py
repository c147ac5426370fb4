"""Work that is measured inside one process, which has no other rival in it: see __main__.py."""
