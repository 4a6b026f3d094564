"""Tickets: a signed permission to watch one job for a short time, for a client without a cookie."""

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import MissingExtra

if TYPE_CHECKING:
    from itsdangerous import URLSafeSerializer

__all__ = ["Tickets"]


class Tickets:
    """Write tickets and read them, by secrets of which the first signs, and all are accepted.

    Without a secret there is one of this process's own, which no other process can read.
    """

    def __init__(self, secret: str | Sequence[str] | None) -> None:
        keys = (secret,) if isinstance(secret, str) else secret or ()
        if not isinstance(keys, (list, tuple)) or not all(map(_is_key, keys)):
            raise TypeError("secret is a text, or a list of texts of which the first signs")
        self.shared = bool(keys)
        self._keys = list(keys) or [secrets.token_hex(32)]

    def write(self, job_id: str, epoch: str, ttl: float) -> str:
        """Return a ticket for a job's present log, good for ``ttl`` seconds."""
        ticket: str | bytes = self._serializer().dumps([job_id, epoch, round(time.time() + ttl)])
        return ticket if isinstance(ticket, str) else ticket.decode()

    def admits(self, ticket: str, job_id: str, epoch: str) -> bool:
        """Tell whether the ticket is ours, for this job, and not too old."""
        try:
            serializer = self._serializer()
        except MissingExtra:  # nobody here can have written it
            return False
        from itsdangerous import BadData

        try:
            content: Any = serializer.loads(ticket)
        except (BadData, UnicodeError):
            return False
        return bool(content[:2] == [job_id, epoch] and content[2] >= time.time())

    def _serializer(self) -> "URLSafeSerializer":
        try:
            from itsdangerous import URLSafeSerializer
        except ModuleNotFoundError as error:
            raise MissingExtra(
                'tickets need itsdangerous: pip install "sseprog[tickets]"'
            ) from error
        # The salt keeps apart what one secret signs; https://itsdangerous.palletsprojects.com
        return URLSafeSerializer(
            # The newest last, as itsdangerous has it.
            self._keys[::-1],
            salt="sseprog.ticket",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )


def _is_key(key: object) -> bool:
    return isinstance(key, str) and bool(key)
