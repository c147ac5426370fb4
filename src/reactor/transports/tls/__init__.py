"""TLS over any stream: its engine without a transport, its two halves, and what protocols see of it."""
