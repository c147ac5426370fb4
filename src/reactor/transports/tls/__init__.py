"""TLS over any stream: its engine without a transport, its two halves, and the protocol's view."""
