"""What the headers `Accept` and `Accept-Encoding` ask for."""

import re

_QUALITY = re.compile(r";\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def prefers(accept: str, wanted: str, other: str) -> bool:
    """Return whether the header asks for the media type `wanted` rather than for `other`.

    A client that names neither of them, or both alike, does not prefer `wanted`.
    """
    return _quality(accept, wanted) > _quality(accept, other)


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether the header `Accept-Encoding` names gzip."""
    return _quality(accept_encoding, "gzip") > 0


def _quality(accept: str, media_type: str) -> float:
    """Return the weight of a media type, between 0 and 1, as RFC 9110 says (12.5.1)."""
    weights = {}
    for item in accept.lower().split(","):
        found = _QUALITY.search(item)
        weights[item.partition(";")[0].strip()] = float(found[1]) if found else 1.0
    # The most specific name counts.
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in weights:
            return weights[name]
    return 0.0
