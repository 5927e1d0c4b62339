"""Many sessions at once. `python -m tests.bench_load [--sessions 10] [--minutes 5] [--pause 1 3]`

A session is what a browser tab is to the server: a connection of its own that speaks Streamlit's protocol, clicks at
random (another head, tab, text, heatmaps, image, prompt, page), waits until the rerun has ended, fetches thumbnails it
has not seen, and thinks for a moment. What is timed is the rerun, from sending the click to the server's word that the
script has ended. What a browser then draws is not in it: that takes the visitor's processor, not the server's.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode
from urllib.request import urlopen

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.bench_site import Running, demo_bundle, demo_heads, heading, quantile, say, served

GOAL = 0.5
FLAT = 1.05
"""Memory in the last minute over memory in the second, at most: allocators do not give back every page."""
_THUMB = re.compile(r"/b/[\w-]+/t/\d+")
_PAGES = {"overview": 1, "heads": 5, "image": 4, "about": 1}
"""How often visitors want each page. On Heads, one click in ten asks for 40 heatmaps, under a progress bar."""


@dataclass
class Session:
    """A visitor: the seconds of each kind of click, and whatever went wrong."""

    address: str
    number: int
    heads: list[str]
    clicks: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    async def visit(self, until: float, pause: tuple[float, float]) -> None:
        """Click until the time is over. The first view, which opens the page, is not counted."""
        rng, seen = random.Random(self.number), set()
        async with websockets.connect(
            self.address.replace("http", "ws") + "/_stcore/stream", subprotocols=["streamlit"], max_size=None
        ) as socket:
            await asyncio.sleep(rng.uniform(0, pause[1]))
            await self._click(socket, "overview", {}, seen)
            while time.monotonic() < until:
                await asyncio.sleep(rng.uniform(*pause))
                page, query = self._choose(rng)
                began = time.perf_counter()
                await self._click(socket, page, query, seen)
                kind = f"{page} with heatmaps" if query.get("map") == "head" else page
                self.clicks.setdefault(kind, []).append(time.perf_counter() - began)

    def _choose(self, rng: random.Random) -> tuple[str, dict[str, object]]:
        page = rng.choices(list(_PAGES), list(_PAGES.values()))[0]
        if page == "heads":
            tab = rng.choice(["ends", "ends", "intervals", "alike"])
            view = {"head": rng.choice(self.heads), "text": rng.randrange(4), "tab": tab, "image": rng.randrange(900)}
            return page, view | {"map": rng.choices(["off", "head"], [9, 1])[0]}
        if page == "image":
            tab = rng.choice(["scores", "where", "budget", "heads", "tokens", "similar"])
            thing = rng.choice(["dog", "cat", "bee", "house", "snow"])
            prompts = [f"a picture of {thing} {rng.randrange(1000)}", "a picture of a beach"]
            return page, {"image": rng.randrange(200), "tab": tab, "prompts": prompts}
        return page, {"sample": rng.randrange(100)} if page == "overview" else {}

    async def _click(self, socket: "websockets.ClientConnection", page: str, query: dict, seen: set[str]) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string = urlencode({"bundle": demo_bundle(), **query}, doseq=True)
        state.page_name = "" if page == "overview" else page
        state.is_history_navigation = True
        await socket.send(message.SerializeToString())
        thumbs: set[str] = set()
        async with asyncio.timeout(60):
            async for data in socket:
                answer = ForwardMsg()
                answer.ParseFromString(data)
                if answer.HasField("delta"):
                    self._look(answer, page, query)
                    thumbs |= set(_THUMB.findall(data.decode("latin-1")))
                if answer.WhichOneof("type") == "page_not_found":
                    self.errors.append(f"{page}: no such page")
                if answer.WhichOneof("type") == "script_finished":
                    if answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                        break
                    self.errors.append(f"{page} {query}: ended with {answer.script_finished}")
                    break
        new = list(thumbs - seen)[:100]
        seen |= thumbs
        await asyncio.gather(*(asyncio.to_thread(self._fetch, path) for path in new))

    def _fetch(self, path: str) -> None:
        try:
            with urlopen(self.address + path, timeout=30) as response:
                assert response.read().startswith(b"\xff\xd8")
        except (OSError, AssertionError) as error:
            self.errors.append(f"{path}: {error!r}")

    def _look(self, answer: ForwardMsg, page: str, query: dict) -> None:
        """A page with an error or a warning on it is no answer."""
        element = answer.delta.new_element
        kind = element.WhichOneof("type")
        if kind in ("exception", "alert"):
            text = getattr(element, kind).body if kind == "alert" else element.exception.message
            self.errors.append(f"{page} {query}: {text[:150]}")


async def run(server: Running, sessions: int, seconds: float, pause: tuple[float, float]) -> bool:
    """Let them click; print the figures. True if every goal was met."""
    heads = demo_heads()
    visitors = [Session(server.address, n, heads) for n in range(sessions)]
    started = time.monotonic()
    memory: list[tuple[float, float]] = []

    async def watch() -> None:
        while True:
            memory.append((time.monotonic() - started, server.private_mb()))
            await asyncio.sleep(2)

    cpu, watcher = server.cpu_seconds(), asyncio.create_task(watch())
    ended = await asyncio.gather(
        *(visitor.visit(started + seconds, pause) for visitor in visitors), return_exceptions=True
    )
    watcher.cancel()
    whole = time.monotonic() - started
    errors = [repr(each) for each in ended if each is not None] + [e for visitor in visitors for e in visitor.errors]
    times = [second for visitor in visitors for kind in visitor.clicks.values() for second in kind]
    say(f"{sessions} sessions, {seconds:.0f} s, a click after {pause[0]:g} to {pause[1]:g} s", times, "p95 500")
    for kind in sorted({kind for visitor in visitors for kind in visitor.clicks}):
        say(f"    {kind}", [second for visitor in visitors for second in visitor.clicks.get(kind, [])], "")
    flat = _memory(memory, whole)
    used = server.cpu_seconds() - cpu
    print(
        f"    {len(times) / whole:.1f} clicks a second; {used / whole:.2f} cores; {used / len(times) * 1e3:.0f} ms each"
    )
    print(f"    errors: {len(errors)}{''.join(chr(10) + '      ' + each for each in errors[:5])}", flush=True)
    return bool(times) and quantile(times, 0.95) < GOAL and not errors and flat


def _memory(samples: list[tuple[float, float]], whole: float) -> bool:
    """Private memory minute by minute; flat from the second on?"""
    minutes = [[mb for at, mb in samples if m * 60 <= at < (m + 1) * 60] for m in range(int(whole // 60) + 1)]
    means = [sum(minute) / len(minute) for minute in minutes if len(minute) > 5]
    print(f"    private memory, MB by minute: {', '.join(f'{mean:.0f}' for mean in means)}")
    return len(means) < 3 or means[-1] <= FLAT * means[1]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench_load", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[10])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--pause", type=float, nargs=2, default=(1.0, 3.0), help="seconds between clicks")
    given = parser.parse_args(words)
    good = True
    heading()
    for count in given.sessions:
        with served() as server:
            warm = Session(server.address, 10_000, demo_heads())
            asyncio.run(warm.visit(time.monotonic() + 15, (0, 0.1)))  # every page once or more, the model loaded
            assert not warm.errors, warm.errors
            good &= asyncio.run(run(server, count, given.minutes * 60, tuple(given.pause)))
            if problems := server.problems():
                print(json.dumps(problems[:5], indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
