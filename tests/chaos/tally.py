"""What happened, counted by all clients together."""

import threading
from collections import Counter
from collections.abc import Collection

from wire import Answer

Told = tuple[int, str]


class Tally:
    """Answers by kind of client, status and code; whatever should not be is a line in `wrong`."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.events: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def answered(
        self, kind: str, answer: Answer, expected: Collection[Told], label: str | None = None
    ) -> None:
        """Count an answer, and hold it against what its caller may get."""
        with self._lock:
            self.answers[kind, answer.status, answer.code] += 1
            if (answer.status, answer.code) not in expected:
                self.wrong.append(f"{kind}: {answer}")
            elif answer.status == 200 and answer.label != label:
                self.wrong.append(f"{kind}: {answer.label} instead of {label}")

    def event(self, name: str) -> None:
        """Count something that is no answer."""
        with self._lock:
            self.events[name] += 1

    def fault(self, line: str) -> None:
        """Note what should not be."""
        with self._lock:
            self.wrong.append(line)

    def table(self) -> str:
        """Return what happened, a line for each kind of outcome."""
        rows = [
            f"  {kind:<12} {status} {code:<22} {count:>6}"
            for (kind, status, code), count in sorted(self.answers.items())
        ]
        return "\n".join([*rows, *(f"  {name:<39} {n:>6}" for name, n in self.events.items())])
