"""The address that a request is from, though it may have come through proxies."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

__all__ = ["Proxies"]

_UNIX: Final = "unix"
_PORT: Final = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d+|\[([^\]]*)\](?::\d+)?")
"""An address as some proxies write it, with its port."""


class Proxies:
    """The proxies whose ``X-Forwarded-For`` is believed: addresses, networks, or ``unix``.

    ``unix`` is whoever comes through a Unix socket, and so has no address. From anybody else the
    header is what the client likes to write. Raises `TypeError` or `ValueError`.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        if isinstance(trusted, str):
            raise TypeError(f"trusted_proxies is a list of networks, not the text {trusted!r}")
        self._unix = False
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for network in trusted:
            if network == _UNIX:
                self._unix = True
                continue
            try:
                self._networks.append(ipaddress.ip_network(network, strict=False))
            except ValueError:
                raise ValueError(
                    f"trusted proxy {network!r} is not an address, a network such as "
                    "'10.0.0.0/8', or 'unix'"
                ) from None

    def client(self, peer: str, forwarded: str | None) -> str:
        """Name the client's address: ``peer``, or what the proxies say of whom they had it from.

        ``forwarded`` is the ``X-Forwarded-For``, to which each proxy appends whom it heard: the
        last that is no proxy of ours is the client. Of an IPv6 address the first 64 bits count,
        since a single client has all of the others to choose from (RFC 6177).
        """
        hops = [hop for hop in (forwarded or "").split(",") if hop.strip()]
        address = peer
        while hops and self._trusts(address):
            hop = _PORT.sub(r"\1\2", hops.pop().strip())
            if _parsed(hop) is None:  # "unknown", say: then all that the proxy brings are one
                break
            address = hop
        parsed = _parsed(address)
        if parsed is None:
            return address
        if parsed.version == 6:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
        return str(parsed)

    def _trusts(self, address: str) -> bool:
        if not address:
            return self._unix
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
