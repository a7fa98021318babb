"""Memory: kept when it was freed, and in large pages."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from rnnjax.runtime import malloc as heap

PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a C library of another kind keeps what it likes")

AGAIN = """
import resource
import numpy as np
from rnnjax.runtime import malloc as heap
heap._ask_for_large_pages = lambda *_: None  # there would be few
heap.configure_malloc()
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**26, np.uint8)
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


def told(program):
    environment = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"}  # or NumPy asks for its own arrays
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    return ended.stdout.split()


@GLIBC
def test_memory_that_was_freed_is_there_again_without_being_cleared():
    first, *again = map(int, told(AGAIN))
    assert first > 1000 > 10 > max(again)


@GLIBC
@pytest.mark.skipif(not PAGES.exists(), reason="this kernel has no large pages")
@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") != heap.PAGE, reason="pages are of another size here")
def test_new_memory_lies_where_large_pages_were_asked_for():
    assert told(WHERE) == ["False", "True"]


class LibC:
    """One whose heap may not grow."""

    def __init__(self):
        self.calls = []
        for name in ("malloc", "free", "madvise"):
            setattr(self, name, self.noting(name))

    def noting(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))

        return call


def test_a_heap_that_may_not_grow_is_left_as_it_is():
    libc = LibC()
    heap._ask_for_large_pages(libc, 2**40)
    assert libc.calls == [("malloc", 2**40)]
