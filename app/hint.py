"""What to type next."""

import shlex


def command(*words: object) -> str:
    """Return `.venv/bin/python -m app WORDS...` as a shell takes it, whatever names hold."""
    return shlex.join([".venv/bin/python", "-m", "app", *map(str, words)])
