"""The colours of a value: from which value on it is usual, doubtful or bad."""

from collections.abc import Mapping
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

GOOD, DOUBTFUL, BAD, NEUTRAL, NOTHING = "green", "yellow", "red", "blue", "text"


class Levels(NamedTuple):
    """The colour below all steps, and the steps: from this value on, that colour."""

    base: str
    steps: tuple[tuple[float, str], ...] = ()

    def thresholds(self) -> builders.ThresholdsConfig:
        """Return the thresholds as Grafana writes them."""
        steps = [Threshold(value=None, color=self.base)]
        steps += [Threshold(value=value, color=colour) for value, colour in self.steps]
        return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def rising(doubtful: float, bad: float) -> Levels:
    """Return the levels of a value that is good while it is low."""
    return Levels(GOOD, ((doubtful, DOUBTFUL), (bad, BAD)))


def falling(bad_below: float, doubtful_below: float) -> Levels:
    """Return the levels of a value that is good while it is high."""
    return Levels(BAD, ((bad_below, DOUBTFUL), (doubtful_below, GOOD)))


def switch() -> Levels:
    """Return the levels of a value that is 1 while all is well, and otherwise 0."""
    return Levels(BAD, ((1, GOOD),))


def amount() -> Levels:
    """Return the levels of an amount that is neither good nor bad; nothing at all is grey."""
    return Levels(NOTHING, ((1e-9, NEUTRAL),))


class Look(NamedTuple):
    """How a number is shown.

    Attributes:
        levels: the colours.
        no_value: the text for no value, which is grey.
        words: texts for some values, {value: (text, colour)}.
    """

    levels: Levels
    no_value: str
    words: Mapping[str, tuple[str, str]] = {}

    def mappings(self) -> list[ValueMapping]:
        """Return the texts as Grafana writes them."""
        missing = ValueMappingResult(text=self.no_value, color=NOTHING)
        options = DashboardSpecialValueMapOptions(
            match=SpecialValueMatch.NULL_AND_NAN, result=missing
        )
        words = {
            value: ValueMappingResult(text=text, color=colour)
            for value, (text, colour) in self.words.items()
        }
        special = SpecialValueMap(options=options)
        return [special, ValueMap(options=words)] if words else [special]
