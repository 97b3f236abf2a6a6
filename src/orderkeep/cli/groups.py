"""A command with commands of its own, and plain words about it."""

import typer


def group(help_: str) -> typer.Typer:
    """One like all others: plain text, and nothing to install into a shell."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help=help_,
    )
