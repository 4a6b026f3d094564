"""The application under test where several processes run it: each has a job that goes on."""

import threading
import time

from starlette_app import app, hub

__all__ = ["app"]


def tick() -> None:
    with hub.job("ticking") as job:
        for number in range(1_000_000):
            job.update(message=str(number))
            time.sleep(0.1)


hub.create("ticking")
threading.Thread(target=tick, daemon=True).start()
