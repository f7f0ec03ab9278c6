"""Settings of glibc's malloc. The process keeps the memory that a step frees, because the next step needs it again."""

import ctypes

# From glibc's malloc.h. Source: the GNU C library's manual, "Malloc Tunable Parameters".
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PADDING_BYTES = 64 << 20  # requested from the system at once


def keep_freed_memory() -> None:
    """Make malloc return no memory to the system. Without glibc, do nothing.

    By default glibc maps memory for every large tensor and unmaps it when the tensor is freed, and the system clears
    each page again. With 256 images per step this takes longer than the arithmetic.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, PADDING_BYTES)
