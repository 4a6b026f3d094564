"""Whether gevent has put its own in place of a module of Python's."""

import sys

__all__ = ["is_patched"]


def is_patched(module: str) -> bool:
    """Tell whether ``module`` is gevent's, so that its threads, say, are greenlets of one."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched(module))
