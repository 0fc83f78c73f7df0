"""What decoders share: all that Pillow and Python load lazily while they decode.

The forkserver imports this module once, because a decoder cannot open files any more when its first
upload comes. The server's process does not import it, because it decodes nothing.
"""

import io

from PIL import Image

from app.images import heif
from app.images.formats import FORMATS

# Codecs of text that Pillow looks up by name while it reads tags; Python imports them lazily.
_TEXT_CODECS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp437", "idna")


def _load() -> None:
    Image.init()
    for name in _TEXT_CODECS:
        "a".encode(name).decode(name)
    picture = Image.new("RGB", (8, 8))
    heif.available()
    # The encoders of AVIF and HEIF take much memory and start threads, which a fork loses.
    for kind in set(FORMATS) - {"AVIF", "HEIF"}:
        file = io.BytesIO()
        picture.save(file, kind)
        with Image.open(file, formats=(kind,)) as image:
            image.load()
            image.getexif()


_load()
