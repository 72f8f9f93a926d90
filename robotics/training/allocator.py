"""Keep freed memory: a training step frees and asks for the same megabytes over and over.

glibc gives large blocks back to the kernel at once and gets them again page by page, which costs about a third of a
CPU training step of the small preset. Settings of mallopt(3); without effect on other C libraries.
"""

import ctypes
import ctypes.util
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024  # what glibc accepts on 64-bit machines [B]
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell the C library of this process not to return freed blocks below 32 MiB."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
