"""What the project has of its own: yours to fill, and no update of the template touches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import Settings
    from .stack import ApplicationStack


def extend(stack: ApplicationStack, settings: Settings) -> None:
    """Add resources, permissions and environment variables to the stack of a stage.

    The functions are there already, by the end of their names:

        main = stack.functions["main"]
        table = dynamodb.TableV2(stack, "Orders", partition_key=...)
        table.grant_read_data(main.function)
        main.function.add_environment("TABLE", table.table_name)
        main.alias.add_event_source(...)
    """
