"""flask-sse on gunicorn's gevent, with a Redis of its own: ``… flask_sse_app PORT``.

flask-sse answers nothing, not even the status line, before a channel's first event. So that the
load client sees its streams open, "hello" is published until the measured events begin.
"""

import os
import subprocess
import sys
import threading
import time

from ..contenders import gunicorn
from ..machine import free_port


def main(port: int) -> None:
    """Start Redis, and become gunicorn."""
    redis = free_port()
    command = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", ""]
    subprocess.Popen(
        [*command, "--maxclients", "12000"], cwd=os.environ["SCRATCH"], stdout=subprocess.DEVNULL
    )
    os.environ["REDIS"] = f"redis://127.0.0.1:{redis}"
    words = gunicorn("flask_sse_app:make_app()")(port)
    os.execv(words[0], words)


def make_app():
    from flask import Flask, request
    from flask_sse import sse

    from .publisher import publish_on_time, state

    app = Flask(__name__)
    app.config["REDIS_URL"] = os.environ["REDIS"]
    app.register_blueprint(sse, url_prefix="/stream")
    begun = threading.Event()

    def publish(job, message):
        with app.app_context():
            sse.publish(state(job, message), type="progress", channel=f"job-{job}")

    def greet():
        while not begun.wait(0.1):
            with app.app_context():
                for job in range(int(os.environ["JOBS"])):
                    sse.publish("hello", type="hello", channel=f"job-{job}")

    @app.get("/start")
    def start():
        begun.set()
        time.sleep(0.2)
        publish_on_time(publish, request.args.to_dict())
        return "", 204

    threading.Thread(target=greet, daemon=True).start()
    return app


if __name__ == "__main__":
    main(int(sys.argv[1]))
