"""A transcode as a task of a job queue runs it: ``transcode.py '{"url": ...}'``.

Says on stdout how it has ended: its last state, or what it raised.
"""

import json
import logging
import sys

from sseprog import Hub


def main() -> None:
    options = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    hub = Hub(options["url"], **options["settings"])
    hub.create(options["job_id"])
    print("created", flush=True)
    sys.stdin.readline()  # the page is open
    last = hub.run(
        "ffmpeg",
        job_id=options["job_id"],
        source=options["source"],
        target=options["target"],
        ladder=[480, 360],
    )
    hub.close()
    print(last.to_json().decode(), flush=True)


if __name__ == "__main__":
    main()
