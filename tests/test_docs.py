"""The README and docs/: blocks are run, links lead somewhere, generated pages are fresh."""

import asyncio
import doctest
import http.server
import re
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_server import testing
from docs import generate
from tests.docs_blocks import fits, is_part, read_anchors, read_blocks, read_links
from tests.docs_reader import KINDS, LIMIT_S, ROOT, make_curl, opened_page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FROM_NOTHING = {ROOT / "docs/quickstart.md"}
"""Pages that begin in an empty folder; all others in a clone of the repository."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
async def outcomes(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, Exception | None]:
    """Read the pages whose tests were chosen, two at a time: most of it is starting processes."""
    found: dict[Path, Exception | None] = {}
    two = asyncio.Semaphore(2)

    async def read(page: Path) -> None:
        async with two:
            folder = tmp_path_factory.mktemp(page.stem) / "agent-server"
            folder.mkdir()
            try:
                async with opened_page(folder, clone=page not in FROM_NOTHING) as reader:
                    await reader.read_page(page)
            except Exception as error:  # noqa: BLE001 -- the page's own test raises it
                found[page] = error
            else:
                found[page] = None

    async with asyncio.TaskGroup() as group:
        for item in request.session.items:
            if "outcomes" in getattr(item, "fixturenames", ()):
                group.create_task(read(item.callspec.params["page"]))  # type: ignore[attr-defined]  # every such test has one
    return found


@pytest.mark.parametrize("page", [p for p in PAGES if any(read_blocks(p))], ids=name_of)
async def test_what_the_page_shows_is_what_happens(
    page: Path, outcomes: dict[Path, Exception | None]
) -> None:
    failure = outcomes[page]
    if failure is not None:
        raise failure


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_kind_that_is_run(page: Path) -> None:
    assert [block.place for block in read_blocks(page) if block.info not in KINDS] == []


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for text, target in read_links(page):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{text}: {target}"
        assert not anchor or anchor in read_anchors(file), f"{text}: {target}"


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/guarantees.md"], ids=name_of)
def test_every_guarantee_names_a_test_that_exists(page: Path) -> None:
    proofs = [(text, target) for text, target in read_links(page) if "tests/" in target]
    assert proofs
    for text, target in proofs:
        source = (page.parent / target).read_text(encoding="utf-8")
        named = f"test_{text.replace(' ', '_')}"
        assert f"def {named}(" in source, f"{target} has no {named}"


@pytest.mark.parametrize("name", list(generate.render_all()))
def test_the_generated_pages_are_fresh(name: str) -> None:
    page = ROOT / "docs/reference" / name
    assert page.read_text(encoding="utf-8") == generate.render_all()[name], "make docs"


def test_a_stale_page_is_named_and_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cli.md").write_text("stale")
    assert generate.main(["--check"], target=tmp_path) == 1
    assert "cli.md is stale" in capsys.readouterr().err
    assert generate.main([], target=tmp_path) == 0
    assert generate.main(["--check"], target=tmp_path) == 0


@pytest.mark.parametrize("page", [p for p in PAGES if "decisions" in p.parts], ids=name_of)
def test_every_decision_is_half_a_page(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 40


def test_the_files_of_the_reading_order_exist() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert named
    assert [name for name in named if not (ROOT / "agent_server" / name).is_file()] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_make_targets_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:`|\$ )make ([\w-]+)", text))
    assert targets
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_make_serve_is_agent_server_serve() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^serve:.*\n\t@\S*agent-server serve ", makefile, re.MULTILINE)


def test_the_example_in_the_testing_module_works() -> None:
    assert doctest.testmod(testing).failed == 0


# --- the rules by which the pages are judged ------------------------------------------------------


def test_shown_output_must_be_what_was_printed() -> None:
    printed = "one\ntwo 12 ms\nthree run_01M85XQ84V5Q91YQ25GKH67A5N\n"
    assert fits("one\n…\nthree RUN…", printed) is False
    assert fits("one\n…\nthree run_…\n", printed)
    assert fits("one\ntwo 7 ms\nthree run_00000000000000000000000000", printed)
    assert not fits("one\ntwo 12 ms", printed)
    assert not fits("two 12 ms\n…", printed)
    assert not fits("one\ntwo 12 hours\n…", printed)


def test_shown_json_may_leave_fields_out_but_not_change_them() -> None:
    assert is_part({"a": [1, "…"], "b": "…"}, {"a": [1, 2], "b": {}, "c": 3})
    assert not is_part({"a": [1]}, {"a": [1, 2]})
    assert not is_part({"a": 1}, {"a": True})
    assert not is_part({"d": "…"}, {"a": 1})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```ruby\nputs 1\n```\n", "nothing can run"),
        ("```console\n$ false\n```\n", "failed"),
        ("```console\n$ echo one\ntwo\n```\n", "shown"),
        ("```console\n$ (exit 3)\n$ echo $?\n4\n```\n", "shown"),
        ("```python\nraise SystemExit('no')\n```\n", "no"),
        ('```console\n$ echo \'{"a": 1}\'\n```\n```json\n{"a": 2}\n```\n', "shown"),
        ('```js\nnew EventSource("/v1/nothing")\n```\n', "no route"),
        ('```js\nfetch("/v1/runs"); x.addEventListener("text.dleta", f)\n```\n', "no event"),
        ("```diagram\nnowhere.py\n```\n", "nowhere.py"),
    ],
)
async def test_a_page_that_is_wrong_fails(text: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    folder = tmp_path / "folder"
    folder.mkdir()
    async with opened_page(folder, clone=False) as reader:
        with pytest.raises(AssertionError, match=complaint):
            await reader.read_page(page)


def test_a_block_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```console\n$ true\n")
    with pytest.raises(ValueError, match="never closed"):
        list(read_blocks(tmp_path / "page.md"))


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = f"{self.path} {self.headers['x-asked']} {body.decode()}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), partial(Echo)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_the_stand_in_for_curl_sends_and_prints(echo: str, tmp_path: Path) -> None:
    make_curl(tmp_path / "curl")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(tmp_path / "curl"), "-N", f"{echo}/path",
        "-H", "x-asked: yes", "-d", "body",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        output, _ = await process.communicate()
    assert output.decode() == "/path yes body\n"
