"""Tasks of other packages, by the entry-point group `robotics.tasks`.

An entry point names a module whose import calls `robotics.register_task`; scripts/examples/slide_task.py is one:

    [project.entry-points."robotics.tasks"]
    slide = "slide_task"

`import robotics` imports it. A module that fails is told in one warning, and whatever it did to the tables of
environments, ours and Gymnasium's, is undone.
"""

import warnings
from importlib.metadata import entry_points
from typing import Any

from gymnasium import registry

GROUP = "robotics.tasks"


def load_plugins(environments: dict[str, str]) -> None:
    """Import every plugin; the tasks that they register are added to `environments`."""
    for plugin in entry_points(group=GROUP):
        tables: tuple[dict[str, Any], ...] = (environments, registry)
        before = [dict(table) for table in tables]
        try:
            plugin.load()
        except (Exception, SystemExit) as error:  # whatever a foreign module raises while it is imported
            for table, entries in zip(tables, before, strict=True):
                table.clear()
                table.update(entries)
            warnings.warn(
                f"plugin '{plugin.name}' ({plugin.value}) of '{GROUP}' can not be imported and is left out: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )
