"""A signal stops at once, or after the current step; a second one ends the process."""

import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rnnjax.runtime.signals import SIGNALS, SignalHandler, StoppedError, ctrl_c_raises

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers():
    """Restores the handlers of before each test, and checks that the test has left them."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    after = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_stops_at_once(number):
    stopping = SignalHandler()
    assert not stopping.requested
    with pytest.raises(StoppedError, match=f"^stopped by {number.name}$") as stopped, stopping:
        send(number)
    assert stopped.value.status == STATUS[number]
    assert stopping.requested


@pytest.mark.parametrize("number", STATUS)
def test_inside_deferred_only_stop_raises(number, capsys):
    with SignalHandler() as stopping, stopping.deferred():
        stopping.stop()
        assert not stopping.requested
        send(number)
        assert stopping.requested
        with pytest.raises(StoppedError) as stopped:
            stopping.stop()
    assert stopped.value.status == STATUS[number]
    assert capsys.readouterr().err == "stopping after the current step; a second signal stops at once.\n"


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_during_garbage_collection_is_not_lost(number, while_collecting):
    """Python drops what is raised there, so the signal is sent again; it does not count as a second one."""

    def collect():
        while_collecting(lambda: send(number))
        time.sleep(10)

    with pytest.raises(StoppedError) as stopped, SignalHandler():
        collect()
    assert stopped.value.status == STATUS[number]


@pytest.fixture
def begins_slowly(tmp_path, monkeypatch):
    """A function that imports a module during which the signal of this number comes, and that waits afterwards."""

    def imported(number):
        source = f"import os, signal, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(0.2)\nbegun = True\n"
        (tmp_path / "begins_slowly.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.import_module("begins_slowly")
        time.sleep(10)

    yield imported
    assert sys.modules.pop("begins_slowly").begun


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_waits_for_an_import(number, begins_slowly):
    with pytest.raises(StoppedError) as stopped, SignalHandler():
        begins_slowly(number)
    assert stopped.value.status == STATUS[number]


def test_ctrl_c_waits_for_an_import_and_the_handler_is_restored(begins_slowly):
    with pytest.raises(KeyboardInterrupt), ctrl_c_raises():
        begins_slowly(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_a_program_that_runs_while_it_is_imported(tmp_path, monkeypatch):
    """Otherwise a program whose first module does all the work could not be stopped."""
    source = "import os, signal, time\nfrom rnnjax.runtime.signals import ctrl_c_raises\n"
    source += "with ctrl_c_raises():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(10)\n"
    (tmp_path / "works_at_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module("works_at_import")


def test_other_errors_in_garbage_collection_go_to_the_hook_of_before(while_collecting, monkeypatch):
    errors = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: errors.append(lost.exc_type))
    with SignalHandler():
        while_collecting(lambda: 1 / 0)
    assert errors == [ZeroDivisionError]


@pytest.fixture
def while_collecting():
    """A function that runs another one once while Python collects garbage."""
    waiting = []

    def callback(phase, info):
        while waiting:
            waiting.pop()()

    def run(function):
        waiting.append(function)
        while waiting:  # or another thread is collecting, and this one need not
            gc.collect()

    gc.callbacks.append(callback)
    yield run
    gc.callbacks.remove(callback)


def test_after_deferred_a_signal_stops_at_once_again():
    with SignalHandler() as stopping:
        with stopping.deferred():
            pass
        with pytest.raises(StoppedError):
            send(signal.SIGTERM)


def test_without_a_signal_nothing_happens_and_handlers_are_restored(handlers):
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with SignalHandler() as stopping:
        assert all(signal.getsignal(number) != before[number] for number in SIGNALS)
        stopping.stop()
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_handlers_are_restored_after_an_error():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with pytest.raises(KeyError), SignalHandler():
        raise KeyError
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_in_another_thread_no_signal_is_caught():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    seen = []

    def work():
        with SignalHandler() as stopping, stopping.deferred():
            seen.append({number: signal.getsignal(number) for number in SIGNALS})
            stopping.stop()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


TWICE = """
import atexit, os, signal
from rnnjax.runtime.signals import SignalHandler
atexit.register(print, "tidied up")
with SignalHandler() as stopping, stopping.deferred():
    os.kill(os.getpid(), signal.SIGINT)
    print("after one", stopping.requested, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("after two")
"""


def test_a_second_signal_ends_the_process_at_once():
    finished = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout) == (143, "after one True\n")
    assert finished.stderr == "stopping after the current step; a second signal stops at once.\n"
