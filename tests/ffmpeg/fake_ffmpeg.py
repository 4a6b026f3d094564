#!/usr/bin/env python3
"""An ffmpeg that does what a scenario says, for what real ones can't be made to do.

``FAKE_FFMPEG`` in the environment is a JSON list of steps for a transcoding run, ``FAKE_PROBE`` the
text of a probe, ``REAL_FFMPEG`` the program that does all else.
"""

import json
import os
import signal
import subprocess
import sys
import time

IGNORING = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"


def main(words: list[str]) -> None:
    real = os.environ["REAL_FFMPEG"]
    if "-progress" not in words and "FAKE_PROBE" in os.environ:
        sys.stderr.write(os.environ["FAKE_PROBE"])
        sys.exit(1)
    if words[-1] != "index.m3u8":
        sys.exit(subprocess.run([real, *words], check=False).returncode)
    for step, *values in json.loads(os.environ["FAKE_FFMPEG"]):
        value = values[0] if values else None
        match step:
            case "out":
                os.write(1, value.encode())
            case "err":
                os.write(2, value.encode())
            case "flood":  # descriptor, bytes
                for _ in range(values[1] // 1000):
                    os.write(value, b"x" * 1000)
            case "close":
                os.close(value)
            case "wait":
                time.sleep(value)
            case "ignore SIGTERM":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "have a child":
                subprocess.Popen([sys.executable, "-c", IGNORING])
            case "die of":
                os.kill(os.getpid(), value)
            case "exit":
                sys.exit(value)
            case "make":  # name, bytes
                with open(value, "w") as file:
                    file.write(values[1])
            case "work":
                subprocess.run(
                    [real, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            case "spoil":  # a file that the real one made: shorten it to so many bytes, or remove
                os.truncate(value, values[1]) if values[1] else os.remove(value)
            case "blank":
                open(value, "w").close()
            case _:
                sys.exit(f"unknown step {step}")


main(sys.argv[1:])
