"""What Linux' usual C library, glibc, does with memory. Others are left as they are."""

import contextlib
import ctypes
import functools
import os

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
MADV_HUGEPAGE = 14  # of Linux' mman.h
PAGE, LARGE_PAGE = 2**12, 2**21  # bytes; where pages are of another size, large ones may be far too large
SHARE = 4  # of the machine's memory, this part may lie in large pages; it is taken when it is written to


@functools.cache
def configure_malloc() -> None:
    """Keep for the next program what one has freed, in large pages.

    glibc gives large blocks back to the kernel, which clears every page of them again: at 500 words a step that is
    called alone then takes half as long again. And a step reads hundreds of megabytes in order, for which a core must
    look up where each page of 4 KiB lies; many kernels give larger ones only to who asks.
    """
    with contextlib.suppress(AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_ARENA_MAX, 1)):
            libc.mallopt(option, value)
        if os.sysconf("SC_PAGE_SIZE") == PAGE:
            _ask_for_large_pages(libc, os.sysconf("SC_PHYS_PAGES") * PAGE // SHARE)


def _ask_for_large_pages(libc: ctypes.CDLL, size: int) -> None:
    """For the next ``size`` bytes that the heap grows by; where it may not, or the kernel has none, nothing changes."""
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    block = libc.malloc(size)
    if block is not None:
        start = -(-block // LARGE_PAGE) * LARGE_PAGE
        libc.madvise(start, (block + size - start) // LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE)
        libc.free(block)  # not to the kernel, see above
