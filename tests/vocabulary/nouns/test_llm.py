"""The language-model backend against a server on this machine that speaks the same protocol."""

from __future__ import annotations

import importlib.util
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from segtune.errors import SegtuneError
from segtune.vocabulary.nouns.llm import LlmNouns


@dataclass
class Server:
    """Answers `POST /v1/chat/completions` with what `replies` holds, else with the first words."""

    url: str = ""
    replies: list[Any] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, request: dict[str, Any]) -> tuple[int, str]:
        self.requests.append(request)
        if self.replies:
            reply = self.replies.pop(0)
            return (reply, "busy") if isinstance(reply, int) else (200, reply)
        captions = request["messages"][1]["content"].splitlines()
        words = [line.partition(". ")[2].rstrip(".").split()[-1:] for line in captions]
        return 200, json.dumps({"nouns": words})


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            status, text = state.answer(json.loads(self.rfile.read(length)))
            message = {"role": "assistant", "content": text}
            body = json.dumps(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "m",
                    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                }
            ).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keeps the test output clean."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    yield state
    http.shutdown()
    http.server_close()


class PlainClient:
    """Sends what `openai.OpenAI` would send, where that package is not installed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self.create))

    def create(self, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read(), object_hook=lambda d: SimpleNamespace(**d))


@pytest.fixture
def ask(server: Server, tmp_path):
    """Makes a backend that talks to the server."""

    def make(**options: Any) -> LlmNouns:
        client = PlainClient(server.url)
        return LlmNouns(model="m", client=client, cache=tmp_path / "nouns", **options)

    return make


def lemmas(nouns):
    return [[noun.lemma for noun in each] for each in nouns]


def test_captions_are_asked_in_batches_and_only_once(server, ask):
    captions = ["I see two dogs.", "Here is a cat", "There is a bird"]
    assert lemmas(ask(batch=2)(captions)) == [["dog"], ["cat"], ["bird"]]
    assert len(server.requests) == 2
    assert server.requests[0]["messages"][1]["content"].splitlines()[1] == "2. Here is a cat"
    again = ask(batch=2)([*captions, "A new horse"])
    assert lemmas(again) == [["dog"], ["cat"], ["bird"], ["horse"]]
    assert len(server.requests) == 3
    assert again[0][0].span == (10, 14)


def test_another_model_has_its_own_answers(server, tmp_path):
    for model in ("m", "n"):
        client = PlainClient(server.url)
        LlmNouns(model=model, client=client, cache=tmp_path)(["A dog"])
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "reply",
    ["no json", "[]", '{"nouns": []}', '{"nouns": [3]}', '{"nouns": [["dog"], []]}', '{"a": 1}'],
)
def test_invalid_answers_are_asked_again(server, ask, reply):
    server.replies = [reply, reply]
    assert lemmas(ask(retries=2)(["A dog"])) == [["dog"]]
    assert len(server.requests) == 3


def test_a_batch_that_stays_invalid_is_asked_one_by_one(server, ask):
    server.replies = ["no", "no"]
    assert lemmas(ask(retries=1)(["A dog", "A cat"])) == [["dog"], ["cat"]]
    assert len(server.requests) == 4


def test_no_usable_answer_is_one_line(server, ask):
    server.replies = ["sorry"] * 3
    with pytest.raises(SegtuneError, match=r"no usable answer for the caption 'A dog' in 2 att"):
        ask(retries=1)(["A dog"])


def test_fences_are_taken_off_and_invented_words_dropped(server, ask):
    answer = json.dumps({"nouns": [["dog", "unicorn", "tennis ball", "owner"]]})
    server.replies = [f"```json\n{answer}\n```"]
    nouns = ask()(["The owner's dogs chase tennis balls"])[0]
    assert [noun.lemma for noun in nouns] == ["dog", "tennis ball", "owner"]
    assert nouns[1].text == "tennis balls"


def test_half_a_line_in_the_cache_is_forgotten(server, ask):
    backend = ask()
    backend(["A dog", "A cat"])
    text = backend.file.read_bytes()
    backend.file.write_bytes(text[:-5])
    again = ask()
    assert lemmas(again(["A dog", "A cat"])) == [["dog"], ["cat"]]
    assert len(server.requests) == 2
    assert backend.file.read_bytes() == text


def test_neither_key_nor_endpoint_is_one_line(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(SegtuneError, match="set OPENAI_API_KEY, or give base_url"):
        LlmNouns(model="m")


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="needs segtune[llm]")
def test_the_openai_package_retries_and_reports(server, tmp_path):
    server.replies = [503]
    backend = LlmNouns(model="m", base_url=server.url, retries=1, cache=tmp_path)
    assert lemmas(backend(["A dog"])) == [["dog"]]
    assert len(server.requests) == 2
    server.replies = [401]
    with pytest.raises(SegtuneError, match="the endpoint of model m failed: "):
        backend(["A cat"])
