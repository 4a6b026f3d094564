"""Publish to nchan over one kept-alive connection: ``… nchan_publisher PORT RATE SECONDS JOBS``.

What is due at the same time is posted without waiting for one answer after another.
"""

import socket
import sys
import time

from .publisher import frame, schedule


def post(job: int, message: str) -> bytes:
    data = frame(job, message)
    head = (
        f"POST /publish/{job} HTTP/1.1\r\nHost: localhost\r\nX-EventSource-Event: progress\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def answers(connection: socket.socket, count: int) -> None:
    """Read so many answers."""
    while count > 0:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("nginx has closed the publisher's connection")
        count -= chunk.count(b"HTTP/1.1 20")


def main() -> None:
    port, rate, seconds, jobs = map(float, sys.argv[1:])
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for due in schedule(rate, seconds, int(jobs)):
            for some in (due[at : at + 64] for at in range(0, len(due), 64)):
                connection.sendall(b"".join(post(job, message) for job, message in some))
                answers(connection, len(some))
        time.sleep(0.1)


if __name__ == "__main__":
    main()
