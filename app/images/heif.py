"""HEIC and HEIF, the formats of iPhones, where the package pillow-heif is installed.

The package is an extra, because its wheel has parts under the GPL. Only a process that decodes
imports it.
"""

from functools import cache

from app.errors import UnsupportedImage


@cache
def available() -> bool:
    """Let Pillow read HEIC and HEIF; return whether it can."""
    try:
        import pillow_heif  # noqa: PLC0415  (the server's process never loads the library)
    except ImportError:
        return False
    # Pillow would decode a thumbnail in the file instead of the picture, which may show another.
    pillow_heif.register_heif_opener(
        decode_threads=0, thumbnails=False, depth_images=False, aux_images=False
    )
    return True


def check_available() -> None:
    """Check that Pillow can read HEIC and HEIF.

    Raises:
        UnsupportedImage: pillow-heif is not installed.
    """
    if not available():
        raise UnsupportedImage(
            "HEIC and HEIF are not supported here: they need the package pillow-heif, "
            "which `pip install pillow-heif` adds to the service"
        )
