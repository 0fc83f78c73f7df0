"""The program `python -m app`."""

import sys
from pathlib import Path

# A worker process imports this file under another name, and needs no command line.
if __name__ == "__main__":
    if not __package__:
        # `paddle.distributed.launch` runs this file by its path, and Python then looks for modules
        # beside this file instead of beside `app/`.
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    try:
        from app.cli import main

        main()
    except KeyboardInterrupt:
        # The user pressed Ctrl-C while the imports were still going on.
        sys.exit(130)
