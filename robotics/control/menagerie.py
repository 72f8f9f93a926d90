"""Where the robots of MuJoCo Menagerie are: in a clone of it, or in the package mujoco-menagerie."""

import os
from pathlib import Path

from robotics.errors import UsageError, unknown_name


def menagerie_scene(name: str) -> Path:
    """The scene of a Menagerie robot, from `MENAGERIE_ROOT` or the package mujoco-menagerie."""
    root = os.environ.get("MENAGERIE_ROOT")
    if root is not None:
        folder = Path(root) / name
        if not folder.is_dir():
            there = sorted(p.name for p in Path(root).glob("*/") if (p / "scene.xml").exists())
            raise unknown_name(f"robot in MENAGERIE_ROOT {root}", name, there)
        if not (folder / "scene.xml").exists():
            raise UsageError(f"{folder} has no scene.xml")
        return folder / "scene.xml"
    try:
        import mujoco_menagerie
    except ImportError:
        raise UsageError(
            f"menagerie:{name} needs a copy of MuJoCo Menagerie: set MENAGERIE_ROOT to a clone of it, "
            "or pip install mujoco-menagerie"
        ) from None
    if name not in mujoco_menagerie.names():
        raise unknown_name("robot of MuJoCo Menagerie", name, mujoco_menagerie.names())
    try:
        return Path(mujoco_menagerie.get(name).path()) / "scene.xml"
    except mujoco_menagerie.MenagerieError as error:
        raise UsageError(f"menagerie:{name} can not be fetched: {error}; or set MENAGERIE_ROOT to a clone") from None
