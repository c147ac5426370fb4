"""Child processes: starting them, their pipes and terminals, and their end."""
