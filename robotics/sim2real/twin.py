"""Hidden twins: a world that stands for the robot one does not have, sealed so that whoever trains can not look.

A twin is a simulation; nothing here calls it real. Its values come from its key and its seed, so without the key nobody
can draw them again, and with the key the same call makes the same twin. The file publishes a salted hash of them.
"""

import hmac
import os
import secrets
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from robotics.errors import DataError, UsageError
from robotics.evaluation.seeds import require_seed
from robotics.outputs import read_json, write_json
from robotics.sim2real.applicability import task_of
from robotics.sim2real.drawing import draw_twin
from robotics.sim2real.sealing import seal, unseal
from robotics.sim2real.world import World
from robotics.versions import versions

SCHEMA, KIND = 1, "hidden twin"
#: Where a key is looked for before the file beside the twin.
KEY_VARIABLE = "ROBOTICS_TWIN_KEY"
_PUBLIC = ("schema", "kind", "env", "severity", "seed", "versions")


def make_twin(
    env_id: str, severity: str, seed: int, out: Path, *, key: str | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Draw a twin of `env_id`, write it to `out` and return its public document.

    The key is `key`, or that of the environment variable `ROBOTICS_TWIN_KEY`; without either a random one is written
    beside `out` as `<out>.key`, readable by its owner only: a twin is as hidden as that file, so move it away before
    anybody trains. UsageError for what can not be asked.
    """
    require_seed(seed)
    if key == "":
        raise UsageError("--key: the key is empty")
    beside = key_file(out)
    if not overwrite and (existing := next((path for path in (out, beside) if path.exists()), None)):
        raise UsageError(f"{existing} exists: give --overwrite to replace it, or another --out")
    with closing(task_of(env_id)) as task:
        cameras = task.camera_names[:1]  # so that what is seen differs as well
    given = key or os.environ.get(KEY_VARIABLE)
    used = given or secrets.token_hex(32)
    with closing(task_of(env_id, cameras=cameras)) as task:
        world = draw_twin(task, severity, _generator(used, env_id, severity, seed))
    public = dict(zip(_PUBLIC, (SCHEMA, KIND, env_id, severity, seed, versions()), strict=True))
    document = {**public, "sealed": seal(world.as_dict(), used, public)}
    write_json(out, document)
    if given is None:
        _write_secret(beside, used)
    else:
        beside.unlink(missing_ok=True)  # of the twin that was there: it does not open this one
    return document


def open_twin(path: Path, key: str | None = None) -> tuple[dict[str, Any], World]:
    """A twin's public document and its world. DataError for a file that is none or damaged, and without its key."""
    document = read_json(path)
    if not isinstance(document, dict) or document.get("kind") != KIND or not isinstance(document.get("sealed"), dict):
        raise DataError(f"{path}: no hidden twin; `robotics twin make` makes one")
    if document.get("schema") != SCHEMA:
        raise DataError(f"{path}: a hidden twin of schema {document.get('schema')}, this version reads {SCHEMA}")
    public = {name: document.get(name) for name in _PUBLIC}
    try:
        values = unseal(document["sealed"], key or find_key(path), public)
        return document, World.of(values)
    except (DataError, UsageError) as error:
        raise DataError(f"{path}: {error}") from None


def find_key(path: Path) -> str:
    """The key of the twin in `path`: of the environment variable, or of the file beside it."""
    if key := os.environ.get(KEY_VARIABLE):
        return key
    try:
        return key_file(path).read_text().strip()
    except UnicodeDecodeError:
        raise DataError(f"{key_file(path).name} holds no key: it is no text") from None
    except OSError:
        raise DataError(f"its key is neither in {KEY_VARIABLE} nor in {key_file(path).name} beside it") from None


def key_file(path: Path) -> Path:
    return path.with_name(path.name + ".key")


def _generator(key: str, env_id: str, severity: str, seed: int) -> np.random.Generator:
    """All of the draw's randomness comes from the secret key."""
    message = f"hidden twin\0{env_id}\0{severity}\0{seed}".encode()
    return np.random.default_rng(int.from_bytes(hmac.digest(key.encode(), message, "sha256"), "big"))


def _write_secret(path: Path, key: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")
