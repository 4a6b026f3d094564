"""What the workers do: the ffmpeg emitter as a Celery task."""

import os

from celery import Celery

from sseprog import Hub
from sseprog.celery import install, run_emitter

REDIS = os.environ["REDIS_URL"]

app = Celery("transcode", broker=REDIS, backend=REDIS)
app.conf.broker_connection_retry_on_startup = True
hub = Hub(REDIS)
install(app, hub)


# A task whose process dies is given to another one: the second attempt begins anew, since the
# target appears only when all of it is there.
@app.task(acks_late=True, reject_on_worker_lost=True)
def transcode(source: str, target: str) -> str:
    """Make a folder that a page can play; return the name of its master playlist."""
    made = run_emitter("ffmpeg", source=source, target=target)
    return str(made["master"])
