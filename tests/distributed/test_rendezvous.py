"""How several processes meet, and how one hears at once that another has ended."""

import contextlib
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rnnjax.distributed import processes
from rnnjax.distributed import rendezvous as meeting
from rnnjax.distributed import watchdog as watch
from rnnjax.distributed.rendezvous import ProcessInfo, meet
from rnnjax.distributed.watchdog import Link, Watch
from rnnjax.errors import UserError
from rnnjax.runtime.signals import StoppedError


def free_port():
    with socket.create_server(("", 0)) as some:
        return some.getsockname()[1]


def meet_all(*places):
    """What each of them came to: its links, or the error."""

    def one(place):
        try:
            return meet(place)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(one, places))


def places(total):
    port = free_port()
    return [ProcessInfo(f"localhost:{port}", total, i) for i in range(total)]


def close(*links):
    for link in links:
        link.close()


def test_three_meet_and_the_port_is_free_again():
    some = places(3)
    first, *others = meet_all(*some)
    assert sorted(first) == [1, 2]
    for i, (link,) in enumerate((other.values() for other in others), 1):
        link.send({"from": i})
        assert first[i].receive(5) == {"from": i}
        first[i].send(["back", i])
        assert link.receive(5) == ["back", i]
        assert link.host == first[i].host != ""
    with socket.create_server(("", int(some[0].address.split(":")[1]))):  # where JAX will listen
        pass
    close(*first.values(), *(other[0] for other in others))


def test_a_process_that_was_started_again_and_a_stranger_do_no_harm():
    some = places(3)
    port = int(some[0].address.split(":")[1])
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(meet, some[0])
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port)) as stranger:
                stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
                break
        gone = Link(socket.create_connection(("localhost", port)))
        gone.send({"process": 1, "of": 3, "host": "gone"})
        gone.close()
        others = [pool.submit(meet, some[2])]  # all numbers have come, but not all are there
        time.sleep(0.5)
        others.append(pool.submit(meet, some[1]))
        links = first.result()
        assert sorted(links) == [1, 2]
        assert links[1].host != "gone"
        close(*links.values(), *(other.result()[0] for other in others))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: [p[0], p[1]._replace(total=4)], "number 1 was given --num-processes 4 and the first 3"),
        (lambda p: [p[0], p[1], p[1]], "two of them were given --process-id 1"),
        (lambda p: [p[0], p[1]], "number 2 of 0 to 2 did not come within 1 seconds"),
    ],
)
def test_what_does_not_fit_is_told_to_all(change, told, monkeypatch):
    monkeypatch.setattr(meeting, "PATIENCE", 1)
    sentences = meet_all(*change(places(3)))
    assert set(sentences) == {f"The processes cannot begin together, for {told}; start all of them again."}


def test_no_first_process(monkeypatch):
    monkeypatch.setattr(meeting, "PATIENCE", 0.5)
    _, place = places(2)
    assert f"No first process has answered at {place.address} within 0.5 seconds" in meet_all(place)[0]


def test_a_port_in_use_and_an_address_without_one():
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        assert f"cannot listen on port {port}" in meet_all(ProcessInfo(f"localhost:{port}", 2, 0))[0]
    for address in ("localhost", "localhost:", ":80", "localhost:99999"):
        assert "--coordinator must be address:port" in meet_all(ProcessInfo(address, 2, 0))[0]


@pytest.fixture
def pair(monkeypatch):
    """The watches of two processes and their links, and the exit statuses that they would have ended with."""
    ended = []
    monkeypatch.setattr(watch, "end_now", ended.append)
    monkeypatch.setattr(watch, "GRACE", 0)
    some = places(2)
    links = meet_all(*some)
    threads = set(threading.enumerate())
    watches = [Watch(link, 2, i) for i, link in enumerate(links)]
    yield watches, (links[0][1], links[1][0]), ended
    for own in (links[0][1], links[1][0]):
        with contextlib.suppress(OSError):
            own._connection.shutdown(socket.SHUT_RDWR)
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    close(links[0][1], links[1][0])


def until(true):
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true")


def test_what_the_first_says_all_know(pair):
    (first, other), _, _ = pair
    assert first.first_says([1, None]) == other.first_says("mine") == [1, None]
    assert first.first_says((2,)) == other.first_says(3) == [2]  # as JSON has it, in both


def test_those_that_have_come_to_their_end_raise_no_alarm(pair, capsys):
    (first, other), _, ended = pair
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Watch.leave, (first, other)))
    assert ended == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("dies", [0, 1])
def test_a_connection_that_breaks_ends_the_other(dies, pair, capsys):
    _, links, ended = pair
    links[dies]._connection.shutdown(socket.SHUT_WR)
    until(lambda: ended)
    told = f"error: process {dies} of 2 ({links[1 - dies].host}) has ended unexpectedly; this one stops too"
    assert ended[0] == 1
    assert capsys.readouterr().err.startswith(told)


def test_why_one_has_failed_is_told_to_the_other_and_not_back(pair, capsys):
    (first, _), links, ended = pair
    first.fail("was stopped by SIGTERM", 143)
    until(lambda: ended)
    links[1]._connection.shutdown(socket.SHUT_RDWR)
    time.sleep(0.1)
    assert ended == [143]
    assert capsys.readouterr().err == (
        f"process 0 of 2 ({links[1].host}) was stopped by SIGTERM; this one stops too: start all of them again with "
        "--resume.\n"
    )


def test_only_the_first_stops_for_a_signal(pair, monkeypatch):
    (first, other), _, _ = pair
    monkeypatch.setattr(processes, "_watch", other)
    with processes.signal_handling() as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: first.asked == signal.SIGTERM)
        stopping.stop()
        assert not stopping.requested
    monkeypatch.setattr(processes, "_watch", first)
    with processes.signal_handling() as stopping:
        assert stopping.requested
        with pytest.raises(StoppedError) as stopped:
            stopping.stop()
    assert stopped.value.status == 143
