"""Transports: the sockets behind protocols, one file for each idea."""
