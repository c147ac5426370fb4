"""UNIX sockets: streams, datagrams, and their files."""
