"""The brokers that come with sseprog: a module each, a plugin like any other."""

from sseprog.hookspecs import RegisterBroker, hookimpl


@hookimpl
def sseprog_register_brokers(register: RegisterBroker) -> None:
    """Name where each broker is found; it is imported when a hub asks for it."""
    register("memory", "sseprog.brokers.memory:MemoryBroker")
