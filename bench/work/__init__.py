"""Work that is measured inside a process with no other rival in it: see __main__.py."""
