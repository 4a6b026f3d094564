"""The parts of the broker in a file."""
