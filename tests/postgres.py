"""A PostgreSQL server of the tests' own: on the loopback, in a temporary folder, ended by its process id."""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

USER = "postgres"  # PostgreSQL refuses to run as root; Debian's package brings this user
_number = itertools.count()


def programs() -> Path | None:
    """The folder with initdb and postgres, the newest version; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


def reason() -> str | None:
    """Why no server can be started here; None where one can."""
    if programs() is None:
        return "PostgreSQL is not installed; on Debian: sudo apt-get install postgresql"
    if os.geteuid() == 0 and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return f"PostgreSQL does not run as root, and there is no user {USER} to run it as"
    return None


@contextmanager
def server(folder: Path, durable: bool = False) -> Iterator[str]:
    """The URL of a fresh server whose files are in `folder`, which must not be there yet; `durable` waits for the disk
    at every commit, as servers do. Skips the test, with the reason, where there can be none."""
    where, why = programs(), reason()
    if where is None or why:
        pytest.skip(why or "")
    data = folder / "data"
    data.mkdir(parents=True, mode=0o700)
    as_user: dict[str, Any] = {"cwd": "/"}
    if os.geteuid() == 0:
        as_user |= {"user": USER, "group": pwd.getpwnam(USER).pw_gid, "extra_groups": []}
        for each in (folder, data):
            shutil.chown(each, USER)
        for parent in folder.parents:  # pytest's temporary folders are closed to others: let them pass, not look
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o001)
    made = [where / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, **as_user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"fsync={'on' if durable else 'off'}"]
    command = [where / "postgres", "-D", data, "-p", str(port), *(word for one in settings for word in ("-c", one))]
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, **as_user)
    try:
        url = f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        _wait(process, url, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown: connections that are open are ended
        process.wait(20)


def fresh(server_url: str) -> str:
    """The URL of an empty database on this server."""
    name = f"labels_{next(_number)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server_url.removesuffix("postgres") + name


def _wait(process: subprocess.Popen, url: str, log: Path) -> None:
    for _ in range(200):
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text('utf-8', 'replace')[-1000:]}")
