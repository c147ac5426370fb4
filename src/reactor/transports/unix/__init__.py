"""UNIX sockets: streams, datagrams, and the files that stand for them."""
