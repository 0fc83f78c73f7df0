"""What several commands share: options, and examples at the end of `--help`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from app.errors import command

ModelDir = Annotated[
    Path | None,
    typer.Option(help="Directory of the model bundle; by default CLASSIFIER_MODEL_DIR"),
]
TopK = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of classes for each photo; by default 5, or all that reach the thresholds of "
        "the model",
    ),
]


def examples(*arguments: str) -> str:
    """Return the end of a command's `--help`: a line to copy for each of `arguments`."""
    heading = "Example:" if len(arguments) == 1 else "Examples:"
    # Typer joins the lines of a paragraph, so each command is a paragraph.
    return "\n\n".join([heading, *(command(*words.split()) for words in arguments)])


def repeated(context: typer.Context, *but: str) -> str:
    """Return the command that the user has typed, without the options named in `but`.

    A page says with it how to get the same result again.
    """
    words = [context.info_name or "", *_typed(context, "argument", but)]
    return command(*words, *_typed(context, "option", but))


def _typed(context: typer.Context, kind: str, but: tuple[str, ...]) -> Iterator[object]:
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if getattr(source, "name", "") != "COMMANDLINE" or parameter.param_type_name != kind:
            continue
        value = context.params[name]
        if name in but:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if kind == "argument":
            yield from values
        elif isinstance(value, bool):
            yield (parameter.opts if value else parameter.secondary_opts)[0]
        else:
            yield from (word for each in values for word in (parameter.opts[0], each))
