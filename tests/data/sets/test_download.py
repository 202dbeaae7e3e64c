"""Downloads from real servers on this machine that misbehave in every way that was thought of."""

import importlib.util
import random
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from modelzero.data.sets.download import download
from modelzero.errors import DataError

CONTENT = random.Random(0).randbytes(600_000)  # more than two of the pieces in which it is read
MAX_BYTES = 1_000_000
PAGE = b"<html><body>Please log in to this network</body></html>" * 20


def check(path):
    """Pass the right content only."""
    if path.read_bytes() != CONTENT:
        raise DataError("wrong content")


# Each behaviour answers one request. What comes after `length` says is sent all the same.


def answer(handler, body, *, status=200, length=None, **headers):
    """Send a status, headers (an underscore stands for a hyphen) and a body."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(body)


def start_of(handler):
    """Return the first byte that is asked for, None where all are."""
    asked = handler.headers.get("Range")
    return None if asked is None else int(asked.removeprefix("bytes=").removesuffix("-"))


def ranged(handler, most=None):
    """Serve what is asked for, but at most so many bytes of it; the length announced is that of the whole."""
    start = start_of(handler)
    if start is None:
        answer(handler, CONTENT[:most], length=len(CONTENT))
    elif start >= len(CONTENT):
        answer(handler, b"", status=416, length=0, Content_Range=f"bytes */{len(CONTENT)}")
    else:
        rest = CONTENT[start:]
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        answer(handler, rest[:most], status=206, length=len(rest), Content_Range=span)


def well(handler):
    """Serve as one should."""
    ranged(handler)


def cut(most):
    """Break off after so many bytes."""
    return lambda handler: ranged(handler, most)


def whole(handler):
    """Serve all of it, whatever range is asked for."""
    answer(handler, CONTENT, length=len(CONTENT))


def whole_cut(most):
    """Start anew, whatever range is asked for, and break off."""
    return lambda handler: answer(handler, CONTENT[:most], length=len(CONTENT))


def unannounced(handler):
    """Serve all of it without saying how long it is."""
    answer(handler, CONTENT)


def unannounced_cut(handler):
    """Break off without having said how long it is."""
    answer(handler, CONTENT[:300_000])


def chunked_cut(handler):
    """Break off in the middle of a chunk."""
    handler.protocol_version = "HTTP/1.1"
    answer(handler, b"%x\r\n" % len(CONTENT) + CONTENT[:300_000], Transfer_Encoding="chunked")
    handler.close_connection = True


def page(handler):
    """Serve a web page in place of the file."""
    answer(handler, PAGE, length=len(PAGE), Content_Type="text/html")


def page_cut(handler):
    """Serve the first half of a web page."""
    answer(handler, PAGE[: len(PAGE) // 2], length=len(PAGE))


def too_short_length(handler):
    """Announce fewer bytes than there are."""
    answer(handler, CONTENT, length=len(CONTENT) - 5)


def over_long(handler):
    """Serve the file and more."""
    answer(handler, CONTENT + b"more", length=len(CONTENT) + 4)


def empty(handler):
    """Serve a file without content."""
    answer(handler, b"", length=0)


def other_range(handler):
    """Serve another range than the one that was asked for."""
    answer(handler, CONTENT[10:], status=206, length=len(CONTENT) - 10, Content_Range=f"bytes 10-{len(CONTENT) - 1}/*")


def wrong_rest(handler):
    """Serve the right number of wrong bytes, as the range that was asked for."""
    start = start_of(handler) or 0
    body = bytes(max(0, len(CONTENT) - start))
    answer(handler, body, status=206, length=len(body), Content_Range=f"bytes {start}-{len(CONTENT) - 1}/*")


def status(code):
    """Refuse with a status."""
    return lambda handler: answer(handler, b"no", status=code, length=2)


def hang_up(handler):
    """Say nothing and close."""
    handler.close_connection = True


def gibberish(handler):
    """Speak another protocol."""
    handler.wfile.write(b"220 smtp.example.org ESMTP\r\n")


MISBEHAVIOURS = {
    "cut at once": cut(0),
    "cut early": cut(1),
    "cut": cut(100_000),
    "cut late": cut(599_999),
    "whole cut": whole_cut(200_000),
    "whole cut late": whole_cut(599_999),
    "unannounced cut": unannounced_cut,
    "chunked cut": chunked_cut,
    "page": page,
    "page cut": page_cut,
    "too short length": too_short_length,
    "over-long": over_long,
    "empty": empty,
    "other range": other_range,
    "wrong rest": wrong_rest,
    "404": status(404),
    "416": status(416),
    "500": status(500),
    "503": status(503),
    "hang up": hang_up,
    "gibberish": gibberish,
}


@pytest.fixture
def mirror(serve):
    """Give `mirror(behaviour, ...)`: a server that plays them in turn, the last for ever; its address and its log."""

    def start(*plan):
        asked = []

        def play(handler):
            asked.append(handler.headers.get("Range"))
            plan[min(len(asked), len(plan)) - 1](handler)

        return serve(play) + "file.gz", asked

    return start


@pytest.fixture
def target(tmp_path):
    """Where the file is to lie: in a folder that has to be made."""
    return tmp_path / "made" / "by the way" / "file.gz"


def part_of(target):
    """Where its bytes gather."""
    return target.with_name("file.gz.part")


def fetch(target, *urls, timeout_seconds=5.0, max_bytes=MAX_BYTES):
    return download(urls, target, check, max_bytes=max_bytes, timeout_seconds=timeout_seconds, progress=False)


def assert_there(target):
    """The target has the right content, and lies alone in its folder."""
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def assert_absent_but_curable(target, *good):
    """The target is not there, and what a failure left behind does not spoil the next call."""
    assert not target.exists()
    assert set(target.parent.iterdir()) <= {part_of(target)}
    for url in good:
        left = part_of(target).read_bytes() if part_of(target).exists() else None
        fetch(target, url)
        assert_there(target)
        target.unlink()
        if left is not None:
            part_of(target).write_bytes(left)


def test_good_mirror(mirror, target):
    """One request, for all of it, brings the file and says from where."""
    url, asked = mirror(well)
    assert fetch(target, url) == url
    assert asked == [None]
    assert_there(target)


@pytest.mark.parametrize("behaviour", [whole, unannounced])
def test_mirror_without_ranges_or_length(mirror, target, behaviour):
    """A server need neither support ranges nor say how long the file is."""
    url, _ = mirror(behaviour)
    fetch(target, url)
    assert_there(target)


@pytest.mark.parametrize("most", [1, 200_000, 262_144, 599_999])
def test_cut_is_resumed_within_the_call(mirror, target, most):
    """A transfer that was cut goes on at the byte where it was cut."""
    url, asked = mirror(cut(most), well)
    assert fetch(target, url) == url
    assert asked == [None, f"bytes={most}-"]
    assert_there(target)


@pytest.mark.parametrize("most", [1, 200_000, 599_999])
def test_cut_then_no_range_support(mirror, target, most):
    """A server that answers a range with all of it is taken from its start: nothing is doubled."""
    url, asked = mirror(cut(most), whole)
    assert fetch(target, url) == url
    assert asked == [None, f"bytes={most}-"]
    assert_there(target)


def test_cut_then_the_range_that_was_not_asked_for(mirror, target):
    """A server that answers a range with another one, from the start, is taken from its start, too."""

    def from_the_start(handler):
        span = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
        answer(handler, CONTENT, status=206, length=len(CONTENT), Content_Range=span)

    url, asked = mirror(cut(200_000), from_the_start)
    fetch(target, url)
    assert asked == [None, "bytes=200000-"]
    assert_there(target)


def test_later_call_resumes(mirror, target, refuses):
    """A mirror that cuts again and again is given up in the end; the next call goes on from there."""
    bad, asked = mirror(cut(100_000))
    with refuses(DataError, bad, "interrupted after 400000 of 600000 bytes"):
        fetch(target, bad)
    assert asked == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]
    assert not target.exists()
    good, asked = mirror(well)
    fetch(target, good)
    assert asked == ["bytes=400000-"]
    assert_there(target)


def test_next_mirror_resumes(mirror, target):
    """What one mirror gave before it was given up, the next one need not give again."""
    first, _ = mirror(cut(200_000), status(500))
    second, asked = mirror(well)
    assert fetch(target, first, second) == second
    assert asked == ["bytes=200000-"]
    assert_there(target)


@pytest.mark.parametrize("behaviour", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS)
def test_next_mirror_is_taken(mirror, target, behaviour):
    """However the first mirror misbehaves, the file comes whole, and the address is that of a mirror that served."""
    bad, asked = mirror(behaviour)
    good, asked_good = mirror(well)
    assert fetch(target, bad, good) in (bad, good)
    assert_there(target)
    assert asked
    assert len(asked) <= 4
    assert len(asked_good) <= 2


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in MISBEHAVIOURS
        if name != "cut late"  # the second request brings the last byte
    ],
)
def test_misbehaviour_for_ever(mirror, target, refuses, name):
    """A mirror that misbehaves each time is named with a reason, and leaves nothing that spoils the next call."""
    bad, _ = mirror(MISBEHAVIOURS[name])
    with refuses(DataError, "file.gz could not be downloaded", f"{bad} (") as caught:
        fetch(target, bad)
    assert f"{bad} ()" not in str(caught.value)
    assert_absent_but_curable(target, mirror(well)[0], mirror(whole)[0])


def test_every_mirror_is_named_with_its_reason(mirror, target, refuses):
    """The message goes through all mirrors in order, and says of each why it could not be used."""
    mirrors = [mirror(behaviour)[0] for behaviour in (status(404), status(500), page, hang_up)]
    with refuses(DataError) as caught:
        fetch(target, *mirrors)
    message = str(caught.value)
    places = [message.index(f"{url} (") for url in mirrors]
    assert places == sorted(places)
    reasons = [part.split("(", 1)[1] for part in message.split("; ")]
    assert "Not Found" in reasons[0]
    assert "Internal Server Error" in reasons[1]
    assert "wrong content" in reasons[2]
    assert "closed connection" in reasons[3]


def test_nobody_listens(mirror, target, refuses):
    """An address without a server, and what is no address, are named with their reasons."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and never listens
        closed = f"http://127.0.0.1:{deaf.getsockname()[1]}/file.gz"
        with refuses(DataError, f"{closed} (", "refused", "http://[/file (Invalid", "nonsense (unknown url type"):
            fetch(target, "http://[/file", "nonsense", closed)
    assert_absent_but_curable(target, mirror(well)[0])


def test_page_costs_one_request(mirror, target):
    """A mirror whose whole content is wrong is not asked again."""
    bad, asked = mirror(page)
    good, _ = mirror(well)
    assert fetch(target, bad, good) == good
    assert asked == [None]


@pytest.mark.parametrize("name", ["404", "500", "hang up", "gibberish", "cut at once"])
def test_mirror_that_brings_nothing_is_asked_once(mirror, target, name):
    """Where a try brought no new byte, another one would not either: the next mirror is asked at once."""
    bad, asked = mirror(MISBEHAVIOURS[name])
    good, _ = mirror(well)
    assert fetch(target, bad, good) == good
    assert asked == [None]


def test_wrong_content_first_then_right(mirror, target):
    """A file of the right length but with wrong bytes is thrown away, and the second mirror asked for all of it."""
    bad, _ = mirror(lambda handler: answer(handler, bytes(len(CONTENT)), length=len(CONTENT)))
    good, asked = mirror(well)
    assert fetch(target, bad, good) == good
    assert asked == [None]
    assert_there(target)


def test_endless_content(mirror, target, refuses):
    """A file that grows beyond the limit is given up soon after, and not kept."""
    sent = 0

    def endless(handler):
        nonlocal sent
        answer(handler, b"")
        while sent < 100 * MAX_BYTES:
            sent += handler.wfile.write(bytes(50_000))

    bad, _ = mirror(endless)
    with refuses(DataError, bad, f"more than {MAX_BYTES} bytes"):
        fetch(target, bad)
    assert sent < 50 * MAX_BYTES  # the system's own buffers hold some of it
    assert_absent_but_curable(target, mirror(well)[0])
    assert not part_of(target).exists()


def test_file_as_large_as_the_limit(mirror, target):
    """The limit itself is allowed."""
    url, _ = mirror(well)
    fetch(target, url, max_bytes=len(CONTENT))
    assert_there(target)


@pytest.mark.parametrize("before", [None, 0, 1000], ids=["silent", "after headers", "after a little"])
def test_stalling_mirror(mirror, target, refuses, before):
    """A server that falls silent is given up after the time allowed, by name, and the next one asked."""
    release = threading.Event()

    def stall(handler):
        if before is not None:
            answer(handler, CONTENT[:before], length=len(CONTENT))
            handler.wfile.flush()
        release.wait(10)

    bad, _ = mirror(stall)
    good, _ = mirror(well)
    try:
        begin = time.monotonic()
        with refuses(DataError, bad, "timed out"):
            fetch(target, bad, timeout_seconds=0.1)
        assert_absent_but_curable(target, good)
        assert fetch(target, bad, good, timeout_seconds=0.1) == good
        assert_there(target)
        assert time.monotonic() - begin < 5
    finally:
        release.set()


def test_stall_is_resumed(mirror, target):
    """What came before a server fell silent is kept, and the rest asked of the same server."""
    release = threading.Event()

    def stall(handler):
        answer(handler, CONTENT[:300_000], length=len(CONTENT))
        release.wait(10)

    url, asked = mirror(stall, well)
    try:
        assert fetch(target, url, timeout_seconds=0.2) == url
    finally:
        release.set()
    assert asked[0] is None
    assert len(asked) == 2
    assert 0 < int(asked[1].removeprefix("bytes=").removesuffix("-")) <= 300_000
    assert_there(target)


@pytest.mark.parametrize("where", ["headers", "content", "chunks"])
def test_trickling_mirror(mirror, target, refuses, where):
    """A server that is never silent and never done is given up like a silent one, and the next one asked."""
    release = threading.Event()

    def trickle(handler):
        if where == "headers":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        elif where == "content":
            answer(handler, b"", length=len(CONTENT))
        else:
            handler.protocol_version = "HTTP/1.1"
            answer(handler, b"1;", Transfer_Encoding="chunked")
        for _ in range(1000):
            handler.wfile.write(b"a")
            handler.wfile.flush()
            if release.wait(0.02):
                return

    bad, _ = mirror(trickle)
    good, _ = mirror(well)
    try:
        with refuses(DataError, bad, "too slow"):
            fetch(target, bad, timeout_seconds=0.2)
        assert_absent_but_curable(target, good)
        assert fetch(target, bad, good, timeout_seconds=0.2) == good
        assert_there(target)
    finally:
        release.set()


def test_slow_mirror_is_let_finish(mirror, target):
    """A server that takes several times the time allowed for silence is waited for as long as it brings enough."""

    def slow(handler):
        answer(handler, b"", length=len(CONTENT))
        for start in range(0, len(CONTENT), 30_000):
            handler.wfile.write(CONTENT[start : start + 30_000])
            handler.wfile.flush()
            time.sleep(0.05)

    url, asked = mirror(slow)
    assert fetch(target, url, timeout_seconds=0.3) == url
    assert asked == [None]
    assert_there(target)


LEFT_OVER = {
    "complete": CONTENT,
    "all but a byte": CONTENT[:-1],
    "a beginning": CONTENT[:1000],
    "nothing": b"",
    "short garbage": b"garbage",
    "garbage of the right length": bytes(len(CONTENT)),
    "long garbage": bytes(len(CONTENT) + 1),
    "garbage beyond the limit": bytes(MAX_BYTES + 1),
    "complete and garbage": CONTENT + b"garbage",
}


@pytest.mark.parametrize("behaviour", [well, whole])
@pytest.mark.parametrize("left", LEFT_OVER.values(), ids=LEFT_OVER)
def test_left_over_part(mirror, target, left, behaviour):
    """Whatever an earlier call left in the `.part`, one good mirror is enough to bring the file."""
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(left)
    url, asked = mirror(behaviour)
    assert fetch(target, url) == url
    assert_there(target)
    assert len(asked) <= 2


def test_complete_part_is_not_fetched_again(mirror, target):
    """Of a `.part` that lacks nothing, not a byte is fetched again: the server says that nothing is missing."""
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(CONTENT)
    url, asked = mirror(well)
    fetch(target, url)
    assert asked == [f"bytes={len(CONTENT)}-"]
    assert_there(target)


def test_garbage_part_with_all_mirrors_down(mirror, target, refuses):
    """Garbage in the `.part` outlives mirrors that are down, but does not spoil the call after that."""
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(b"garbage")
    down, _ = mirror(status(503))
    with refuses(DataError, down):
        fetch(target, down)
    assert_absent_but_curable(target, mirror(well)[0], mirror(whole)[0])


def test_existing_target_stays_until_the_new_one_is_checked(mirror, target, refuses):
    """A failure leaves the file that was there before; a success puts the right one in its place."""
    target.parent.mkdir(parents=True)
    target.write_bytes(b"before")
    bad, _ = mirror(page)
    with refuses(DataError, bad):
        fetch(target, bad)
    assert target.read_bytes() == b"before"
    good, _ = mirror(well)
    fetch(target, good)
    assert_there(target)


def test_two_calls_at_once(mirror, target):
    """While one process gives the checked file its name, another that starts to fetch it does not spoil it."""
    slow_has_begun, release = threading.Event(), threading.Event()

    def slow(handler):
        answer(handler, CONTENT[:300_000], length=len(CONTENT))
        handler.wfile.flush()
        slow_has_begun.set()
        release.wait(10)
        handler.wfile.write(CONTENT[300_000:])

    url, _ = mirror(whole)
    slow_url, _ = mirror(slow)
    failures = []

    def fetch_too():
        try:
            fetch(target, slow_url)
        except (DataError, OSError) as error:
            failures.append(error)

    other = threading.Thread(target=fetch_too)

    def check_while_another_starts(path):
        check(path)
        other.start()
        slow_has_begun.wait(1)
        time.sleep(0.05)

    try:
        download([url], target, check_while_another_starts, max_bytes=MAX_BYTES, progress=False)
        between = target.read_bytes()
    finally:
        release.set()
        other.join()
    assert between == CONTENT
    assert failures == []
    assert_there(target)


def test_target_in_place_of_a_folder(mirror, tmp_path, refuses):
    """A file where the folder should be is named."""
    (tmp_path / "cache").write_bytes(b"")
    url, asked = mirror(well)
    with refuses(DataError, tmp_path / "cache"):
        fetch(tmp_path / "cache" / "set" / "file.gz", url)
    assert asked == []


def test_progress_goes_to_standard_error(mirror, target, capsys):
    """The bar, with the file's name, is for people: standard output stays empty; without a terminal there is none."""
    url, _ = mirror(cut(200_000), well)
    download([url], target, check, max_bytes=MAX_BYTES, progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "file.gz" in printed.err
    assert "100%" in printed.err
    download([url], target, check, max_bytes=MAX_BYTES)
    assert capsys.readouterr() == ("", "")


def test_share_of_the_benchmark(tmp_path, monkeypatch):
    """Of 25 downloads from servers that misbehave by chance each is right or refused in words, and none hangs."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    spec = importlib.util.spec_from_file_location("downloads", Path(__file__).parents[3] / "benchmarks/downloads.py")
    downloads = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "downloads", downloads)
    spec.loader.exec_module(downloads)
    outcomes = downloads.run(25, 1, 4, tmp_path)
    assert {outcome.result for outcome in outcomes} == {"right", "refused"}
    assert len(set().union(*(outcome.served for outcome in outcomes))) > 15  # kinds of misbehaviour


@pytest.mark.parametrize("seed", range(40))
def test_random_misbehaviour(mirror, target, seed):
    """Some mirrors that misbehave by chance: the file comes right or not at all, and the next call mends it."""
    chance = random.Random(seed)
    behaviours = [
        *MISBEHAVIOURS.values(),
        well,
        whole,
        cut(chance.randrange(600_000)),
        whole_cut(chance.randrange(600_000)),
    ]
    plans = [chance.choices(behaviours, k=chance.randint(1, 5)) for _ in range(chance.randint(1, 3))]
    urls = [mirror(*plan)[0] for plan in plans]
    left = chance.choice([None, *LEFT_OVER.values()])
    target.parent.mkdir(parents=True)
    if left is not None:
        part_of(target).write_bytes(left)
    try:
        assert fetch(target, *urls) in urls
    except DataError as error:
        message = str(error)
    else:
        assert_there(target)
        return
    assert all(f"{url} (" in message for url in urls)
    assert_absent_but_curable(target, mirror(well)[0], mirror(whole)[0])
