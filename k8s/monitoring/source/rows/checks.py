"""Whether the model computes right, and which uploads are no photos."""

from panels import About, lines
from queries import increase, rate, series

UNREADABLE = "unsupported_image|broken_image|too_many_pixels|file_too_large|empty_file"

CLASSES = (
    lines(
        "Answers by class",
        "reqps",
        {"{{class}}": rate("answers_total", by="class")},
        About(
            "Answers per second by their best class. A class has a line of its own once it has one "
            "of a hundred answers; at most 50 have, and “others” are all the rest.",
            "your photos' own mix.",
            "one class that takes over is a camera that shows always the same, or a broken model: "
            "look at some of the photos.",
        ),
    ).span(16),
    lines(
        "Reloads of the model by result",
        "none",
        {"{{result}}": increase("reloads_total", by="result")},
        About(
            "Reloads by SIGHUP or `POST /models/reload`; the purple marks show when they ended.",
            "none, or one ok on each pod for a new model.",
            "refused: the old model serves on, and the log says what is wrong with the new one.",
        ),
    ),
)
CHECKS = (
    lines(
        "Canary checks by result",
        "none",
        {"{{result}}": increase("canaries_total", by="result")},
        About(
            "Checks of idle workers against the golden answers.",
            "ok, every 30 seconds; none while all workers are busy.",
            "wrong or failed: see the runbook of ClassifierCanaryWrong.",
        ),
    ),
    lines(
        "Golden answers: 1 is right, 0 is wrong",
        "none",
        {"{{instance}}": series("golden_ok")},
        About(
            "Whether each pod computes the golden answers of its bundle.",
            "1 on every pod.",
            "0 on one pod is its node's fault: cordon the node.",
        ),
    ),
    lines(
        "Unreadable uploads by error code",
        "reqps",
        {"{{reason}}": rate("outcomes_total", f'reason=~"{UNREADABLE}"', "reason")},
        About(
            "Uploads per second that are no photos, broken, or too large.",
            "nearly none.",
            "ask the client that sends them; docs/http.md explains each code.",
        ),
    ),
)
