"""See to it that the programs a test suite drives are on this machine.

    python tests/system_packages.py chromium ffmpeg

What is missing is installed from Debian's packages if that may be done without asking (as root, or
with a sudo that wants no password). If it may not, say what to install and exit with 1: a suite
whose program is missing fails, it never skips.
"""

import os
import shutil
import subprocess
import sys

# Each program by which a suite knows that the thing is there, and Debian's package that brings it.
# Debian's npm is a package of its own; other builds of Node.js bring it along.
PACKAGES = {
    "chromium": "chromium",
    "ffmpeg": "ffmpeg",
    "firefox-esr": "firefox-esr",
    "node": "nodejs",
    "npm": "npm",
    "pg_ctlcluster": "postgresql",
    "pgbouncer": "pgbouncer",
    "ps": "procps",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server",
}


def missing(programs: list[str]) -> list[str]:
    """Name the packages of those programs that are not on the PATH."""
    return [PACKAGES[program] for program in programs if shutil.which(program) is None]


def right_to_install() -> list[str] | None:
    """Return what to put before a command so that it may install packages; None if nothing will."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and not subprocess.run(["sudo", "-n", "true"], check=False).returncode:
        return ["sudo", "-n"]
    return None


def install(packages: list[str], prefix: list[str]) -> None:
    """Install Debian packages without a question; raises CalledProcessError if apt-get fails."""
    apt_get = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    # Another apt-get may be at work, as on a machine that has just booted: wait for it.
    apt_get += ["-o", "DPkg::Lock::Timeout=300", "--quiet", "--yes"]
    subprocess.run([*apt_get, "update"], check=True)
    subprocess.run([*apt_get, "install", "--no-install-recommends", *packages], check=True)


def main(programs: list[str]) -> int:
    """Install what is missing of ``programs``; return the exit code."""
    unknown = [program for program in programs if program not in PACKAGES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(PACKAGES)}", file=sys.stderr)
        return 2
    packages = missing(programs)
    if not packages:
        return 0
    prefix = right_to_install()
    if prefix is None:
        print(
            f"These tests need {', '.join(packages)}, and may not install packages here.\n"
            f"On Debian: sudo apt-get install --no-install-recommends {' '.join(packages)}",
            file=sys.stderr,
        )
        return 1
    try:
        install(packages, prefix)
    except subprocess.CalledProcessError as error:
        print(f"Could not install {', '.join(packages)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
