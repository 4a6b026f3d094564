"""The brokers that come with sseprog: a module each, a plugin like any other."""

from sseprog.hookspecs import RegisterBroker, hookimpl

_REDIS = [
    "unix",
    *(
        f"{server}{how}"
        for server in ("redis", "rediss", "valkey", "valkeys")
        for how in ("", "+cluster", "+sentinel")
    ),
]


@hookimpl
def sseprog_register_brokers(register: RegisterBroker) -> None:
    """Name where each broker is found; it is imported when a hub asks for it."""
    register("memory", "sseprog.brokers.memory:MemoryBroker")
    register("sqlite", "sseprog.brokers.sqlite:SQLiteBroker")
    for scheme in ("postgresql", "postgres"):
        register(scheme, "sseprog.brokers.postgresql:PostgreSQLBroker")
    for scheme in _REDIS:
        register(scheme, "sseprog.brokers.redis:RedisBroker")
