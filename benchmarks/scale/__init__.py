"""A plan for ten million viewers, and the measurements and the simulation behind it."""
