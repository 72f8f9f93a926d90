"""Tasks of other packages, by the entry-point group `robotics.tasks`.

An entry point names a module whose import calls `robotics.register_task`; scripts/examples/slide_task.py is one:

    [project.entry-points."robotics.tasks"]
    slide = "slide_task"

`import robotics` imports it. A module that fails is told in one warning, and what it had registered is taken back.
"""

import warnings
from importlib.metadata import entry_points

from gymnasium import registry

GROUP = "robotics.tasks"


def load_plugins(environments: dict[str, str]) -> None:
    """Import every plugin; the tasks that they register are added to `environments`."""
    for plugin in entry_points(group=GROUP):
        before = set(environments)
        try:
            plugin.load()
        except (Exception, SystemExit) as error:  # whatever a foreign module raises while it is imported
            for env_id in set(environments) - before:
                del environments[env_id], registry[env_id]
            warnings.warn(
                f"plugin '{plugin.name}' ({plugin.value}) of '{GROUP}' can not be imported and is left out: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )
