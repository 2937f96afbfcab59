"""The weekly mail: rendering it from figures, and delivering the outbox at most once."""
