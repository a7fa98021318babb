"""Options of glibc's memory allocator; with another C library, or outside of Linux, nothing changes."""

import contextlib
import ctypes
import functools
import os
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # of glibc's malloc.h
THREAD_HEAP = 2**26  # bytes, the size of a heap that belongs to one thread; a thread may have several
MADV_HUGEPAGE = 14  # of Linux' mman.h
PAGE, LARGE_PAGE = 2**12, 2**21  # bytes; with other page sizes, large pages may be far too large
LARGE_PAGE_FRACTION = 4  # a quarter of the machine's memory may be in large pages, allocated when written to


@functools.cache
def configure_malloc() -> None:
    """Keep freed memory for the next program instead of returning it to the kernel, and use large pages.

    The kernel clears every page of a block that was returned and is allocated again: a single step at 500 words then
    takes half as long again. A step also reads hundreds of megabytes in order, with an address lookup for every page
    of 4 KiB; many kernels use larger pages only on request.

    To be called when programs have been compiled: from then on new threads share one heap, so threads that compile
    would block each other (compiling took 1.6 times as long on two cores). Threads that have a heap of their own by
    then go on using it; of those heaps, an empty one is returned to the kernel unless M_TOP_PAD is as large as it.
    Without that, the 700 steps of an epoch caused 1.3 million page faults, and took 1.16 times as long.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, THREAD_HEAP), (M_ARENA_MAX, 1)):
            libc.mallopt(option, value)
        if os.sysconf("SC_PAGE_SIZE") == PAGE:
            _request_large_pages(libc, os.sysconf("SC_PHYS_PAGES") * PAGE // LARGE_PAGE_FRACTION)


def _request_large_pages(libc: ctypes.CDLL, size: int) -> None:
    """For the next ``size`` bytes that the heap grows by; without effect where the kernel does not support it."""
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    block = libc.malloc(size)
    if block is not None:
        start = -(-block // LARGE_PAGE) * LARGE_PAGE
        libc.madvise(start, (block + size - start) // LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE)
        libc.free(block)  # kept by the heap, by the options set before
