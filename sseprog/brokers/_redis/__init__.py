"""What the Redis store consists of; importing it checks that redis-py is there."""

from sseprog.errors import MissingExtra

try:
    import redis as _redis  # noqa: F401 - all modules of this package need it
except ModuleNotFoundError as error:
    raise MissingExtra(
        'A broker in Redis or Valkey needs redis-py: pip install "sseprog[redis]"'
    ) from error
