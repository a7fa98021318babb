"""Freed memory is kept, and new memory is in large pages."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from rnnjax.runtime.malloc import PAGE, _request_large_pages

PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")

AGAIN = """
import resource
import numpy as np
from rnnjax.runtime import malloc
malloc._request_large_pages = lambda *_: None  # large pages would cause few faults
malloc.configure_malloc()
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**26, np.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""

IN_THREADS = """
import ctypes
import resource
import threading
from rnnjax.runtime import malloc
malloc._request_large_pages = lambda *_: None
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
libc.memset.argtypes, libc.memset.restype = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], ctypes.c_void_p
libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
configured, faults = threading.Barrier(2), []

def allocate(times, size):
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = libc.malloc(size)
        libc.memset(block, 1, size)
        libc.free(block)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

def work():
    kept = [libc.malloc(2**16) for _ in range(2**9)]  # half of a heap of the thread's own; a large block needs another
    configured.wait()
    configured.wait()
    allocate(3, 2**25)

thread = threading.Thread(target=work)
thread.start()
configured.wait()
malloc.configure_malloc()
configured.wait()
thread.join()
print(*faults)
"""

LAYER = """
import resource
from benchmarks.cases import Case
from benchmarks.peers import PEERS
layer = PEERS["rnnjax, all cores"].build(Case("lstm", 256, 100, 512))
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layer.forward()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""

WHERE = """
import re
import numpy as np
from rnnjax.runtime.malloc import configure_malloc
before = np.ones(2**26, np.uint8)
configure_malloc()
after = np.ones(2**26, np.uint8)
mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", open("/proc/self/smaps").read(), flags=re.M)[1:]
for array in (before, after):
    for mapping in mappings:
        first, last = (int(end, 16) for end in mapping.split()[0].split("-"))
        if first <= array.ctypes.data + 2**25 < last:
            print("hg" in mapping.split("VmFlags:")[1].split())
"""


def output_of(program):
    environment = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"}  # or NumPy requests large pages itself
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    return finished.stdout.split()


@GLIBC
def test_freed_memory_is_reused_without_page_faults():
    first, *again = map(int, output_of(AGAIN))
    assert first > 1000 > 10 > max(again)


@GLIBC
def test_a_thread_that_has_its_own_heap_already_reuses_it_without_page_faults():
    first, *again = map(int, output_of(IN_THREADS))
    assert first > 1000 > 10 > max(again)


@GLIBC
def test_the_layer_of_the_benchmark_keeps_its_memory_as_training_does():
    compiling, *_, last = map(int, output_of(LAYER))
    assert compiling > 1000 > 100 > last


@GLIBC
@pytest.mark.skipif(not PAGES.exists(), reason="this kernel has no large pages")
@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") != PAGE, reason="pages of another size")
def test_new_memory_is_in_large_pages():
    assert output_of(WHERE) == ["False", "True"]


class LibC:
    """A C library whose heap cannot grow; it records its calls."""

    def __init__(self):
        self.calls = []
        for name in ("malloc", "free", "madvise"):
            setattr(self, name, self.recorder(name))

    def recorder(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))

        return call


def test_a_heap_that_cannot_grow_is_left_unchanged():
    libc = LibC()
    _request_large_pages(libc, 2**40)
    assert libc.calls == [("malloc", 2**40)]
