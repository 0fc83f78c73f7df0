"""What the clients send: by which protocol and key, in which format, and how large."""

from panels import About, lines
from queries import PHOTOS, REQUESTS, quantile, rate, series

MEGA = 1_000_000
SHARES = (0.5, 0.95, 0.99)

CLIENTS = (
    lines(
        "Photos by dialect",
        "reqps",
        {"{{dialect}}": rate(REQUESTS, PHOTOS, "dialect")},
        About(
            "Requests with photos per second by protocol; “own” is that of docs/http.md.",
            "your clients' own mix.",
            "a dialect that nobody uses may be taken out of CLASSIFIER_DIALECTS.",
        ),
    ),
    lines(
        "Photos by API key",
        "reqps",
        {"{{key}}": rate("key_requests_total", by="key")},
        About(
            "Requests with photos per second by the short hash of their key: the first 8 digits of "
            "`printf %s KEY | sha256sum`.",
            "your clients' own mix; nothing if the service asks for no key.",
            "limit all keys if one sends too much: see ClassifierKeyLimited. A key that nobody "
            "uses can go.",
        ),
    ),
    lines(
        "Photos by format",
        "reqps",
        {"{{format}}": rate("answered_photos_total", by="format")},
        About(
            "Answered photos per second by the format of their file.",
            "nearly all JPEG.",
            "PNG, WebP and HEIF take more CPU than a JPEG: compare with the stage decode.",
        ),
    ),
    lines(
        "Size of the files",
        "decbytes",
        {f"{q:.0%}": quantile(q, "upload_bytes") for q in SHARES},
        About(
            "This share of the answered photos has files of at most this size.",
            "0.05 to 0.5 MB; a camera's own files have 3 to 6 MB.",
            "the network sees 224 x 224 pixels: clients may send smaller photos and wait less.",
        ),
    ),
    lines(
        "Megapixels",
        "none",
        {f"{q:.0%}": f"{quantile(q, 'photo_pixels')} / {MEGA}" for q in SHARES},
        About(
            "This share of the answered photos has at most so many megapixels.",
            "0.2 to 2; a phone's own photos have 12 to 50.",
            "large photos take longer to decode: see “95 % of each stage”.",
        ),
    ),
    lines(
        "Bytes received",
        "Bps",
        {"{{instance}}": rate("upload_bytes_sum", by="instance")},
        About(
            "Bytes of the files of answered photos per second and pod.",
            "the same on all pods.",
            "one pod with far more has clients that keep their connections: let them reconnect.",
        ),
    ),
    lines(
        "Photos inside, by API key",
        "none",
        {"{{key}}": f"sum by (key) ({series('key_in_flight_photos')})"},
        About(
            "The photos of each API key in all pods, with those at the door. It has values only if "
            "CLASSIFIER_KEY_CONCURRENCY or CLASSIFIER_KEY_PHOTOS_PER_S is set.",
            "all keys far below CLASSIFIER_KEY_CONCURRENCY times the number of pods.",
            "a key that stays there has reached its share, and the other keys have theirs.",
        ),
    ).span(12),
    lines(
        "Refused because of the key's limits",
        "reqps",
        {"{{key}}, {{reason}}": rate("key_refused_total", by="key, reason")},
        About(
            "Requests per second that got 429 because their key sends too many photos a second "
            "(key_rate), or has too many inside (key_busy).",
            "none, or some of one client that has no pauses.",
            "see the runbook of ClassifierKeyLimited.",
        ),
    ).span(12),
)
