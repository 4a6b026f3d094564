"""The parts of the PostgreSQL broker: where the server is, the way to it, what is said."""
