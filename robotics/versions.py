"""What produced a result: the versions that its document carries."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("robotics", "mujoco", "gymnasium", "torch", "numpy")


def versions(*more: str) -> dict[str, str]:
    """Version by package, of Python, of `PACKAGES` and of `more`; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
