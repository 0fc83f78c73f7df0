"""OpenVINO, imported without its telemetry.

By default, each import of OpenVINO tells a web service of its maker that it was imported, and
writes an identity of the user to the home directory. Without the package `openvino_telemetry` it
does neither, so this file hides that package.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # an import of it fails

import openvino  # noqa: E402

__all__ = ["openvino"]
