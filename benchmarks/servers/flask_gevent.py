"""sseprog in Flask: ``gunicorn -k gevent --worker-connections 12000 flask_gevent:app``."""

import os

from flask import Flask, request

from sseprog import Hub
from sseprog_flask import SSEProg

from .publisher import publish_on_time

app = Flask(__name__)
hub = Hub(throttle=0, conflate_after=0, max_stream_age=0, max_jobs=0)
SSEProg(app, hub)
jobs = {}


def publish(job, message):
    if job not in jobs:
        jobs[job] = hub.job(f"job-{job}").__enter__()
    jobs[job].update(50, stage="importing", message=message)


@app.get("/start")
def start():
    publish_on_time(publish, request.args.to_dict())
    return "", 204


for number in range(int(os.environ.get("JOBS", "1"))):
    hub.create(f"job-{number}")
