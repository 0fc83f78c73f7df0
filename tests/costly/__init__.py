"""The corpus: all files that were ever found costly to decode, and how each may end.

Every file is drawn by a function, whose docstring says what is costly and who pays. If another file
is found, its recipe belongs here, and all tests of bounds decode it from then on.
"""

from collections.abc import Callable
from dataclasses import dataclass

from costly import bmp, gif, jpeg, png, tiff, webp


@dataclass(frozen=True)
class CostlyFile:
    """A file of the corpus.

    Attributes:
        draw: returns the file's bytes.
        codes: the codes with which the file may end; "ok" is an answer.
    """

    draw: Callable[[], bytes]
    codes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.draw.__module__.removeprefix('costly.')}-{self.draw.__name__}"


# A machine that is several times slower still ends with the same codes.
_ENDS: dict[tuple[str, ...], tuple[Callable[[], bytes], ...]] = {
    ("ok",): (
        bmp.column,
        bmp.moves,
        bmp.row,
        gif.frames,
        gif.large_screen,
        gif.longest_side,
        jpeg.longest_side,
        jpeg.scans_of_a_small_picture,
        png.compressed_texts,
        png.exif_entries,
        png.international_texts,
        tiff.directories,
        tiff.fax_pixels,
        tiff.jpeg_pixels,
        tiff.looping_directories,
        tiff.lzma_pixels,
        tiff.one_strip,
        tiff.row,
        tiff.strips_of_one_row,
        tiff.tile_as_large_as_allowed,
        webp.chunks,
        webp.noise,
    ),
    # Whether their time or memory suffices depends on the machine.
    ("ok", "costly_image"): (
        bmp.run_lengths,
        bmp.run_lengths_of_four_bits,
        gif.blocks_of_a_comment,
        gif.comments,
        gif.extensions,
        gif.zeros,
        jpeg.comments,
        jpeg.exif_segments,
        jpeg.fill_bytes,
        jpeg.progressive_cmyk,
        jpeg.quantization_tables,
        png.column,
        png.empty_chunks,
        png.empty_pixel_chunks,
        png.filtered_zeros,
        png.interlaced_zeros,
        png.pixels_in_pieces,
        png.row,
        png.text_chunks,
        png.transparent_bits,
        png.transparent_palette,
        png.zeros,
        tiff.column,
        tiff.inflated_pixels,
        tiff.lzw_pixels,
        tiff.run_length_pixels,
        tiff.zstd_pixels,
        webp.frames,
        webp.lossy_alpha,
        webp.lossy_zeros,
        webp.transparent_zeros,
    ),
    ("costly_image",): (
        bmp.ended_lines,
        jpeg.scans_of_a_large_picture,
        png.colour_profiles,
    ),
    ("broken_image", "costly_image"): (
        bmp.run_lengths_of_one,
        jpeg.frame_headers,
    ),
    ("broken_image",): (
        png.compressed_text_without_end,
        tiff.tags,
        webp.header_of_a_huge_picture,
    ),
    ("too_many_pixels",): (
        bmp.header_of_a_huge_picture,
        gif.frame_beside_the_screen,
        gif.largest_screen,
        jpeg.header_of_a_huge_picture,
        png.header_of_a_huge_picture,
        tiff.header_of_a_huge_picture,
        tiff.huge_tile,
    ),
}
CORPUS = [CostlyFile(draw, frozenset(codes)) for codes, draws in _ENDS.items() for draw in draws]
