"""serve.py under load: many clients at once, each of which asks again as soon as it has been answered.

    pip install -e '.[serve,dev]'
    python benchmarks/serving.py --model published --data_dir data --clients 64 --minutes 10

First one client asks for half a minute: what one answer at a time takes. Then all do. Refusals for want of room (429) are waited
out as they say; whatever else is no score ends in a table as an error. Each clip's scores must be the same in every reply. The
server's memory is read once a second.
"""

import argparse
import asyncio
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.material import ROOT
from models.base.cli import positive, run
from models.clips.tables import clip_paths, read_test_table
from models.errors import InputError

ALONE_SECONDS = 30.0
N_CLIPS = 40
TIMEOUT_SECONDS = 120.0

Request = tuple[dict[str, str], bytes]  # fields and audio


@dataclass
class Load:
    """What happened under a number of clients."""

    clients: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    scores: dict[int, set[float]] = field(default_factory=lambda: defaultdict(set))
    memory_mb: list[float] = field(default_factory=list)

    def row(self) -> str:
        p50, p95, p99 = (1000 * float(np.percentile(self.latencies, share)) for share in (50, 95, 99))
        errors = sum(count for status, count in self.statuses.items() if status not in ("200", "429"))
        rate = self.statuses["200"] / self.seconds
        quarter = len(self.memory_mb) // 4
        first, last = (
            statistics.median(part) for part in (self.memory_mb[quarter : 2 * quarter], self.memory_mb[-quarter:])
        )
        return (
            f"| {self.clients} | {self.statuses['200']} | {rate:.1f} | {p50:.0f} | {p95:.0f} | {p99:.0f} | "
            f"{self.statuses['429']} | {errors} | {self.spread:.0e} | {first:.0f} → {last:.0f} MB |"
        )

    @property
    def spread(self) -> float:
        """The largest difference between scores of the same clip."""
        return max((max(found) - min(found) for found in self.scores.values()), default=0.0)


def read_requests(data_dir: Path) -> list[Request]:
    table = read_test_table(data_dir).head(N_CLIPS)
    fields = table.rename(columns={"expected_text": "text"})[["text", "task", "grade"]].to_dict("records")
    contents = [path.read_bytes() for path in clip_paths(data_dir, table["filename"])]
    return [
        ({str(name): str(value) for name, value in each.items()}, audio)
        for each, audio in zip(fields, contents, strict=True)
    ]


async def ask(client: httpx.AsyncClient, requests: Sequence[Request], first: int, load: Load, until: float) -> None:
    for place in itertools.count(first):
        fields, audio = requests[place % len(requests)]
        started, answered = time.monotonic(), False
        while not answered:
            if time.monotonic() > until:
                return
            try:
                reply = await client.post("/v1/score", data=fields, files={"audio": ("a", audio)})
            except httpx.HTTPError as error:
                load.statuses[type(error).__name__] += 1
                break
            load.statuses[str(reply.status_code)] += 1
            answered = reply.status_code != 429
            if not answered:
                await asyncio.sleep(int(reply.headers["retry-after"]))
        if answered and reply.status_code == 200:
            load.latencies.append(time.monotonic() - started)
            load.scores[place % len(requests)].add(reply.json()["probability"])


async def watch(server: psutil.Process, load: Load, until: float) -> None:
    while time.monotonic() < until:
        load.memory_mb.append(server.memory_info().rss / 1e6)
        await asyncio.sleep(1)


async def put_under_load(
    address: str, server: psutil.Process, requests: Sequence[Request], clients: int, seconds: float
) -> Load:
    load, started = Load(clients), time.monotonic()
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_SECONDS, limits=limits) as client:
        asking = [ask(client, requests, first, load, started + seconds) for first in range(clients)]
        await asyncio.gather(watch(server, load, started + seconds), *asking)
    load.seconds = time.monotonic() - started
    return load


def start_server(model: str, port: int, waiting: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "serve.py"), "--model", model, "--port", str(port)]
    limits = ["--requests_per_minute", "1000000", "--max_waiting", str(waiting)]
    return subprocess.Popen([*command, *limits], stderr=subprocess.DEVNULL, env=os.environ)


def wait_for_server(address: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            if httpx.get(f"{address}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise InputError(f"serve.py ended with {server.returncode}; run it by itself to see why")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a published folder")
    parser.add_argument(
        "--data_dir", type=Path, default=Path("data"), help="its test clips are sent (default: %(default)s)"
    )
    parser.add_argument("--clients", type=positive, default=64, help="(default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of all clients at once (default: %(default)s)")
    parser.add_argument("--max_waiting", type=positive, default=64, help="as of serve.py (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    requests = read_requests(arguments.data_dir)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    print("| clients | answers | a second | p50 ms | p95 ms | p99 ms | 429 | errors | largest difference | memory |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    with start_server(arguments.model, port, arguments.max_waiting) as server:
        try:
            wait_for_server(address, server)
            watched = psutil.Process(server.pid)
            for clients, seconds in ((1, ALONE_SECONDS), (arguments.clients, 60 * arguments.minutes)):
                load = asyncio.run(put_under_load(address, watched, requests, clients, seconds))
                print(load.row(), flush=True)
        finally:
            server.terminate()


if __name__ == "__main__":
    run(main)
