"""Memory that training frees is kept by the process, for the next step asks for the same again."""

import ctypes

# From glibc's malloc.h; the GNU C library's manual, "Malloc Tunable Parameters".
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PADDING_BYTES = 64 << 20  # asked of the system at once


def keep_freed_memory() -> None:
    """Tell malloc to hand nothing back. By default glibc maps every large tensor anew and unmaps it at its end, and the
    system clears each page again: at 256 images a step that takes longer than the arithmetic. Elsewhere: nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, PADDING_BYTES)
