"""The tally: answers and events of a run, counted by all clients together."""

import threading
from collections import Counter
from collections.abc import Collection

from wire import Answer

# Status and code of an answer; the code of a 200 is "ok".
Outcome = tuple[int, str]


class Tally:
    """The counts of a run.

    Attributes:
        answers: the number of answers by kind of client, status and code.
        events: the number of other events by name.
        wrong: a line for each answer or event that must not happen.
    """

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.events: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def answered(
        self, kind: str, answer: Answer, expected: Collection[Outcome], label: str | None = None
    ) -> None:
        """Count an answer. It is wrong if it is not an expected one or has another label."""
        with self._lock:
            self.answers[kind, answer.status, answer.code] += 1
            if (answer.status, answer.code) not in expected:
                self.wrong.append(f"{kind}: {answer}")
            elif answer.status == 200 and answer.label != label:
                self.wrong.append(f"{kind}: {answer.label} instead of {label}")

    def event(self, name: str) -> None:
        """Count an event other than an answer."""
        with self._lock:
            self.events[name] += 1

    def fault(self, line: str) -> None:
        """Add a line to `wrong`."""
        with self._lock:
            self.wrong.append(line)

    def table(self) -> str:
        """Return all counts as text, one per line."""
        rows = [
            f"  {kind:<12} {status} {code:<22} {count:>6}"
            for (kind, status, code), count in sorted(self.answers.items())
        ]
        return "\n".join([*rows, *(f"  {name:<39} {n:>6}" for name, n in self.events.items())])
