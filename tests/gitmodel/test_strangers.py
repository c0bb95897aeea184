"""Who has no token, or means no good, takes little memory, few connections and no time, and raises no alarm."""

import contextlib
import json
import random
import signal
import socket
import struct
import threading
import time

import pytest
from gitmodel.serve.attempts import SECONDS_PER_TRY, TRIES, Attempts
from gitmodel.serve.limits import Limits, network_of
from stranger import END, POST, eventually, everything, post, serving, status_of

TIMEOUT = 3
MOST_MB = 50
GET = b"GET /ping HTTP/1.1\r\n"
CHUNKED = b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Start a server without tokens, that waits for nobody."""
    with serving(tmp_path_factory.mktemp("served"), "--timeout", TIMEOUT) as served:
        yield served


TOO_MUCH = {
    "a long header": (431, GET + b"x: " + b"a" * 20_000 + b"\r\n" + END),
    "a header without end": (431, GET + b"x: " + b"a" * 5_000_000),
    "a long name": (431, GET + b"x" * 20_000 + b": a\r\n" + END),
    "many headers": (431, GET + b"a: b\r\n" * 101 + END),
    "a long address": (414, b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n" + END),
    "an address without end": (414, b"GET /" + b"a" * 5_000_000),
    "long trailers": (431, POST + CHUNKED + b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 10_000 + b"\r\n"),
    "a trailer without end": (431, POST + CHUNKED + b"2\r\n{}\r\n0\r\nx: " + b"y" * 5_000_000),
    "a long chunk extension": (431, POST + CHUNKED + b"2;" + b"e" * 5_000_000),
    "blank lines": (431, b"\r\n" * 100_000),
    "a large body": (413, post(b" " * 11_000_000, b"connection: close")),
    "a large body in chunks": (413, POST + CHUNKED + (b"100000\r\n" + b" " * 2**20 + b"\r\n") * 11 + b"0\r\n\r\n"),
}
MALFORMED = {
    "no HTTP": (400, b"NONSENSE\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "no address": (400, b"GET  HTTP/1.1\r\n" + END),
    "an address that is none": (400, b"GET http://[ HTTP/1.1\r\n" + END),
    "bytes that are no text": (400, b"GET /\xff\xfe HTTP/1.1\r\n" + END),
    "a star": (404, b"OPTIONS * HTTP/1.1\r\n" + END),
    "a host that is none": (404, b"GET /nothing HTTP/1.1\r\nhost: [::1\r\nconnection: close\r\n\r\n"),
    "a host that is none, elsewhere": (404, b"GET /v2/models/a HTTP/1.1\r\nhost: [\r\nconnection: close\r\n\r\n"),
    "CONNECT": (400, b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n"),
    "a wrong length": (400, POST + b"content-length: five\r\n\r\n{}"),
    "a negative length": (400, POST + b"content-length: -5\r\n\r\n{}"),
    "two lengths": (400, POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
    "length and chunks": (400, POST + b"content-length: 2\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"),
    "a chunk without size": (400, POST + CHUNKED + b"ZZ\r\n{}\r\n"),
    "a chunk of another size": (400, POST + CHUNKED + b"2\r\n{}garbage\r\n"),
    "a chunk after 100-continue": (400, POST + b"expect: 100-continue\r\n" + CHUNKED + b"ZZ\r\n"),
    "a body too short": (408, post(b"{}").replace(b"length: 2", b"length: 9")),
}


@pytest.mark.parametrize(("status", "sent"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much_is_refused_and_counted(served, status, sent):
    """The answer is there to be read, however much is still being sent; the connection is closed."""
    before = served.metrics()
    answer = served.tell(sent)
    assert status_of(answer) == status
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"][0]["rule"]
    counted = {
        name for name, value in served.metrics().items() if before.get(name) != value and "requests_total" in name
    }
    assert [name for name in counted if f'status="{status}"' in name]


@pytest.mark.parametrize(("status", "sent"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_request_is_refused(served, status, sent):
    """Quietly: a stranger writes nothing into the log, and no 5xx into the metrics."""
    assert status_of(served.tell(sent)) == status
    assert served.complaints() == ""
    assert not [name for name in served.metrics() if 'status="5' in name and name.startswith("model_requests_total")]


def test_long_headers_take_no_memory(served):
    """Five connections of 40 MB each took 2.3 GB."""
    before = served.memory_mb()
    with contextlib.ExitStack() as open_ones:
        for _ in range(5):
            connection = open_ones.enter_context(served.connect())
            with contextlib.suppress(OSError):
                connection.sendall(GET + b"x: " + b"a" * 40_000_000)
        assert served.memory_mb() < before + MOST_MB


SLOW = {
    "silence": (None, b""),
    "half a header": (408, GET + b"host:"),
    "half an address": (408, b"GET /pi"),
    "no body": (408, POST + b"content-length: 100\r\n\r\n"),
    "half a body": (408, POST + b"content-length: 100\r\n\r\n{"),
    "half a chunk": (408, POST + CHUNKED + b"5\r\n{"),
    "half a trailer": (408, POST + CHUNKED + b"2\r\n{}\r\n0\r\nx: "),
    "another request that never comes": (200, GET + b"host: a\r\n\r\n"),
    "half of another request": (200, GET + b"host: a\r\n\r\n" + GET),
}


def test_nobody_stays_for_longer_than_the_timeout(served):
    """Silence, half a request, and a connection that is kept for the next one."""
    found, start = {}, time.monotonic()

    def wait(name, sent):
        found[name] = status_of(served.tell(sent)), time.monotonic() - start

    threads = [threading.Thread(target=wait, args=(name, sent)) for name, (_, sent) in SLOW.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: status for name, (status, _) in SLOW.items()} == {name: status for name, (status, _) in found.items()}
    assert all(seconds < TIMEOUT + 2 for _, seconds in found.values()), found


def test_a_slow_drip_makes_no_time_longer(served):
    """A byte now and then: the request must be there in time as a whole."""
    start = time.monotonic()
    with served.connect() as connection:
        connection.settimeout(0.2)
        for byte in GET + b"x: " + b"a" * 100:
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                assert status_of(connection.recv(1_000)) == 408
                break
    assert TIMEOUT - 1 < time.monotonic() - start < TIMEOUT + 2


@pytest.mark.parametrize("sent", [b"", GET, POST + b"content-length: 100\r\n\r\n{"], ids=["silent", "head", "body"])
def test_connections_that_wait_shut_nobody_out(tmp_path, sent):
    """260 of them at 200 descriptors: those that have waited longest go, and a user is answered at once."""
    with serving(tmp_path, descriptors=200) as served, contextlib.ExitStack() as open_ones:
        for _ in range(260):
            connection = open_ones.enter_context(served.connect())
            with contextlib.suppress(OSError):
                connection.sendall(sent)
        for _ in range(5):
            assert served.ask("/ping")[0] == 200
        assert served.process.poll() is None and served.complaints() == ""
        turned = [value for name, value in served.metrics().items() if name.startswith("model_turned_away_total")]
        assert sum(turned) >= 260 - 200


def test_a_full_service_says_so(tmp_path):
    """While it works for all that it has room for, the next is told to come again; that is no 5xx of the service."""
    with serving(tmp_path, "--max-connections", "2", "--max-per-address", "2") as served:
        body = served.body(20)[:-1] + b', "explain": true}'  # which takes long
        with served.connect() as first, served.connect() as second:
            for connection in (first, second):
                connection.sendall(post(body) * 8)
            time.sleep(0.3)
            answers = [served.tell(GET + END) for _ in range(3)]
        refused = [answer for answer in answers if status_of(answer) == 503]
        assert refused and all(b"retry-after: 1\r\n" in answer for answer in refused)
        eventually(lambda: served.ask("/ping")[0] == 200)
        counted = served.metrics()
        assert counted['model_turned_away_total{reason="connections"}'] >= len(refused)
        assert not [name for name in counted if name.startswith("model_requests_total") and 'status="5' in name]


def test_bodies_together_take_little_memory(served):
    """A hundred of 8.9 MB, all but their end; meanwhile a small request is answered, and afterwards a large one."""
    before, peak, stop = served.memory_mb(), [0.0], threading.Event()

    def watch():
        while not stop.wait(0.02):
            peak[0] = max(peak[0], served.memory_mb())

    def send():
        with contextlib.suppress(OSError), served.connect() as connection:
            connection.sendall(POST + b"content-length: 9000000\r\n\r\n" + b" " * 8_900_000)
            connection.recv(100)

    threads = [threading.Thread(target=target) for target in (watch, *[send] * 100)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert status_of(served.tell(post(served.body(), b"connection: close"))) == 200
    for thread in threads[1:]:
        thread.join()
    stop.set()
    assert peak[0] < before + MOST_MB
    assert status_of(served.tell(post(served.body(9_000), b"connection: close"))) == 200


def test_large_bodies_of_users_wait_for_each_other(tmp_path):
    """Eight at a time, together more than there is room for: each is answered."""
    found = []
    with serving(tmp_path) as served:
        rows = served.body(2_000)
        request = post(rows + b" " * (5_000_000 - len(rows)), b"connection: close")
        threads = [threading.Thread(target=lambda: found.append(status_of(served.tell(request)))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [200] * 8


def test_who_takes_no_answer_is_let_go(served):
    """Large answers that nobody reads: their connections are closed after a time, and hold little memory."""
    body, before = served.body(2_000), served.memory_mb()
    with contextlib.ExitStack() as open_ones:
        for _ in range(30):
            connection = open_ones.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", served.port))
            connection.sendall(post(body) * 4)
        eventually(lambda: served.metrics()["model_connections"] < 5, 60)
        assert served.memory_mb() < before + MOST_MB
    assert served.complaints() == ""


@pytest.mark.parametrize("sent", [b"", b"{", b"{" * 50], ids=["nothing", "a byte", "half"])
def test_a_client_that_hangs_up_in_its_body_is_a_499(served, sent):
    """It counted as a 500, with a traceback."""
    name = 'model_requests_total{route="/predict",status="499"}'
    before = served.metrics().get(name, 0)
    with served.connect() as connection:
        connection.sendall(POST + b"content-length: 100\r\n\r\n" + sent)
        time.sleep(0.2)
    eventually(lambda: served.metrics().get(name, 0) == before + 1)
    assert served.complaints() == ""


def test_no_way_to_hang_up_raises_an_alarm(served):
    """Cut, changed and piled up requests, read or not, closed or reset: no traceback, no 5xx, and it goes on."""
    small, large = served.body(), served.body(500)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (large[:5_000], large[5_000:]))
    kinds = [
        post(large),
        post(small) * 7,
        POST + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        b"GET /docs HTTP/1.1\r\nhost: a\r\n\r\n" * 8,
        post(small, b"expect: 100-continue"),
        post(large, b"connection: upgrade", b"upgrade: h2c") + post(small),
        post(small) + b"garbage\r\n\r\n",
    ]

    def disturb(seed):
        chance = random.Random(seed)
        for _ in range(40):
            data = bytearray(chance.choice(kinds))
            if chance.random() < 0.4:
                data = data[: chance.randrange(len(data))]
            elif chance.random() < 0.3:
                data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
            with contextlib.suppress(OSError), served.connect() as connection:
                connection.settimeout(0.2)
                if chance.random() < 0.3:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(data)
                if chance.random() < 0.5:
                    connection.recv(chance.choice([1, 100_000]))

    threads = [threading.Thread(target=disturb, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: served.metrics()["model_connections"] < 5, 30)
    assert served.complaints() == ""
    assert not [name for name in served.metrics() if name.startswith("model_requests_total") and 'status="5' in name]
    assert status_of(served.tell(post(small, b"connection: close"))) == 200


def test_requests_that_come_together_are_answered_in_order(served):
    """A few are; of very many the first are, and then the connection is closed."""
    pair = served.tell(GET + b"host: a\r\n\r\n" + b"GET /v2 HTTP/1.1\r\n" + END)
    assert pair.index(b'"live"') < pair.index(b'"extensions"')
    assert 1 <= served.tell((GET + b"host: a\r\n\r\n") * 2_000).count(b"HTTP/1.1 200") <= 20
    first, second = served.tell(post(served.body()) + b"garbage\r\n\r\n"), served.tell(GET + b"host: a\r\n\r\n" + GET)
    assert [first.count(b"HTTP/1.1 200"), second.count(b"HTTP/1.1 200")] == [1, 1]


def test_an_offer_of_another_protocol_is_ignored(served):
    """Java's client sends it with each request; the body is that of the request, not of the next one."""
    offer = (b"connection: Upgrade, HTTP2-Settings, close", b"upgrade: h2c", b"http2-settings: AAMAAABk")
    answer = served.tell(post(served.body(), *offer))
    assert status_of(answer) == 200 and b'"predictions"' in answer
    assert served.ask("/ping", b"connection: upgrade", b"upgrade: websocket")[0] == 200


@pytest.mark.parametrize("path", ["/predict/", "//evil.example/predict/", "/docs/", "/v2/health/live/"])
def test_nobody_is_sent_to_the_host_that_a_client_names(served, path):
    """`POST /predict/` was redirected to it, and without TLS."""
    for method in (b"GET", b"POST"):
        answer = served.tell(
            method + f" {path} HTTP/1.1\r\ncontent-length: 0\r\n".encode() + END.replace(b"a", b"e.x", 1)
        )
        assert status_of(answer) == 404 and b"location" not in answer.lower()


def test_a_stop_waits_for_no_stranger(tmp_path):
    """SIGTERM while somebody is in the middle of a body: it ends soon, with status 0 and without a word."""
    with serving(tmp_path) as served, served.connect() as silent, served.connect() as slow:
        slow.sendall(POST + b"content-length: 100\r\n\r\n{")
        time.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(15) == 0
        assert served.complaints() == ""
        assert status_of(everything(slow)) == 408 and everything(silent) == b""


def test_wrong_tokens_are_limited(tmp_path):
    """Of each address; no token at all is no try, and a token that was right there before goes on to be right."""
    with serving(tmp_path, MODEL_TOKENS="right other") as served:
        for _ in range(TRIES + 5):
            assert served.ask("/model")[0] == 401
        assert served.ask("/model", b"authorization: Bearer right")[0] == 200
        statuses = [served.ask("/model", b"authorization: Bearer %d" % number)[0] for number in range(TRIES + 5)]
        assert statuses == [401] * TRIES + [429] * 5
        answer = served.tell(b"GET /model HTTP/1.1\r\nx-forwarded-for: 1.2.3.4\r\nauthorization: Bearer x\r\n" + END)
        assert status_of(answer) == 429 and b"retry-after: " in answer
        assert served.ask("/model", b"authorization: Bearer other")[0] == 429
        text = served.ask("/metrics", b"authorization: Bearer right")[1].decode()
        assert f'model_wrong_tokens_total{{status="401"}} {TRIES}.0' in text
        assert 'model_wrong_tokens_total{status="429"} 7.0' in text
        assert served.ask("/ping")[0] == 200


def test_a_proxy_names_its_clients(tmp_path):
    """With `--proxy`, each has tries of its own; without, X-Forwarded-For is hearsay (above)."""
    with serving(tmp_path, "--proxy", "127.0.0.1", MODEL_TOKENS="right") as served:
        wrong = b"authorization: Bearer x"
        for _ in range(TRIES + 1):
            status, _ = served.ask("/model", b"x-forwarded-for: 1.2.3.4", wrong)
        assert status == 429
        assert served.ask("/model", b"x-forwarded-for: 1.2.3.5", wrong)[0] == 401
        assert served.ask("/model", b"x-forwarded-for: 1.2.3.5", b"authorization: Bearer right")[0] == 200


def test_tries_come_back_and_addresses_are_forgotten():
    """One every few seconds; IPv6 addresses of one network are one, and memory is bounded."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(TRIES):
        assert attempts.wait("2001:db8::1") == 0
        attempts.wrong("2001:db8::1")
    assert attempts.wait("2001:db8::2") == SECONDS_PER_TRY and attempts.wait("2001:db8:0:1::1") == 0
    now[0] += SECONDS_PER_TRY
    assert attempts.wait("2001:db8::1") == 0
    for number in range(30_000):
        attempts.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts._wrong) <= 10_000
    assert network_of("::ffff:1.2.3.4") == network_of("1.2.3.4") == "1.2.3.4"


def test_pages_of_other_sites_may_ask_if_they_are_named(tmp_path):
    """Off by default; the preflight needs no token, the request does."""
    origin = b"origin: https://app.example"
    asks = (
        origin,
        b"access-control-request-method: POST",
        b"access-control-request-headers: authorization,content-type",
    )
    preflight = b"\r\n".join([b"OPTIONS /predict HTTP/1.1", *asks, END])
    token = b"authorization: Bearer right"
    with serving(tmp_path, "--cors-origin", "https://app.example", MODEL_TOKENS="right") as served:
        answer = served.tell(preflight).lower()
        assert status_of(answer.upper()) == 200 and b"access-control-allow-origin: https://app.example" in answer
        assert b"authorization" in answer
        for headers, status in (((origin, token), 200), ((origin,), 401)):
            found = served.tell(b"\r\n".join([b"GET /model HTTP/1.1", *headers, END])).lower()
            assert status_of(found.upper()) == status and b"access-control-allow-origin: https://app.example" in found
        other = served.tell(preflight.replace(b"app.", b"evil.")).lower()
        assert b"access-control-allow-origin" not in other
    with serving(tmp_path, MODEL_TOKENS="right") as served:
        assert b"access-control-allow-origin" not in served.tell(preflight).lower()


@pytest.mark.parametrize("prefix", ["", "/models/one"], ids=["stripped", "kept"])
def test_it_works_under_a_path_behind_a_proxy(tmp_path, prefix):
    """Whether the proxy takes the path off or not; the description and the pages name it."""
    with serving(tmp_path, "--root-path", "/models/one", MODEL_TOKENS="right") as served:
        token = b"authorization: Bearer right"
        assert served.ask(f"{prefix}/ping")[0] == 200
        described = json.loads(served.ask(f"{prefix}/openapi.json", token)[1])
        assert described["servers"] == [{"url": "/models/one"}]
        assert b"/models/one" in served.ask(f"{prefix}/docs", token)[1]
        page = served.ask(f"{prefix}/", token)[1]
        assert b'ask("predict"' in page and b'href="docs"' in page and b'href="/' not in page
        name = described["info"]["title"]
        assert served.ask(f"{prefix}/v2/models/{name}", token)[0] == 200
        assert b'"error"' in served.ask(f"{prefix}/v2/models/another", token)[1]
        assert b'"error"' in served.ask(f"{prefix}/v2/nothing")[1]
        request = post(served_row(described), token, b"connection: close").replace(
            b"/predict", f"{prefix}/predict".encode()
        )
        assert status_of(served.tell(request)) == 200
        redirected = served.tell(b"GET /models/one HTTP/1.1\r\n" + END)
        assert status_of(redirected) == 307 and b"location: /models/one/\r\n" in redirected


def served_row(described):
    """Return the body of a good request."""
    return json.dumps({"rows": described["components"]["schemas"]["Row"]["examples"]}).encode()


def test_the_limits_leave_room_for_one_large_body():
    """Otherwise it would wait for ever."""
    assert Limits().crowded_bytes >= 10_000_000
