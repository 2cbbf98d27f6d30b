"""Virtual environments for programs of others that scripts run: made once, in the target directory."""

import os
import shutil
import subprocess
import sys


class Unavailable(Exception):
    """Why a program cannot be had here."""


def environment(place, packages, python=sys.executable):
    """Makes a virtual environment in this place, once; its directory.

    Each of `packages` is what one call of pip installs. One that was not finished is made anew.
    """
    done = os.path.join(place, "installed")
    if os.path.exists(done):
        return place
    shutil.rmtree(place, ignore_errors=True)
    made = subprocess.run([python, "-m", "venv", place], capture_output=True, text=True)
    if made.returncode != 0:
        raise Unavailable(f"{python} makes no virtual environments (Debian: apt install python3-venv)")
    for words in packages:
        command = [os.path.join(place, "bin", "pip"), "--quiet", "install", *words.split()]
        try:
            made = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"pip does not come to an end with {words}") from None
        if made.returncode != 0:
            raise Unavailable(f"pip cannot install {words}: {(made.stderr.strip().splitlines() or ['?'])[-1]}")
    open(done, "w").close()
    return place
