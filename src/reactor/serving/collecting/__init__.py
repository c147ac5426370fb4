"""The parts of `collect`: files that several processes append to, frames, formats and datagrams."""
