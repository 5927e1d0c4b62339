"""Files to pictures, in order, a little ahead of whoever uses them.

A few threads read, hash and decode (all of which release the interpreter lock), so that the next images are ready
while the model works on the last ones. Read-ahead is bounded, so memory does not depend on how many images there are.
"""

import dataclasses
import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from core.errors import ImageRejected
from core.images import DecodePolicy, decode
from precompute.paths import is_inside, to_name

#: Rejection codes that only a file can have, beside those of `core.images.CODES`.
FILE_CODES = {
    "missing": "there is no such file, or there was none when the run was planned",
    "unreadable": "the operating system refused to read the file",
    "outside-root": "the path leads out of the image folder through a link",
    "not-a-file": "the path is a folder or a device",
    "changed": "the file's size is not what it was when the run was planned",
}


@dataclass(frozen=True)
class Read:
    """One row of the manifest, read. `code` and `message` are None if the image is usable.

    `image` is RGB and upright, of `width` x `height` pixels; it is None if rejected, or if `prepared` holds what the
    caller wanted of it. `sha256` (hexadecimal) is over the file's bytes; it and the sizes are None where unknown.
    """

    image_id: int
    image: Image.Image | None = None
    prepared: Any = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    code: str | None = None
    message: str | None = None

    def without_pixels(self) -> "Read":
        """The record alone, small enough to keep for every image of a shard."""
        return dataclasses.replace(self, image=None, prepared=None)


def read_images(
    root: Path,
    table_slice: pa.Table,
    policy: DecodePolicy,
    *,
    threads: int = 2,
    ahead: int | None = None,
    prepare: Callable[[Image.Image], Any] | None = None,
) -> Generator[Read, None, None]:
    """Read the rows of a manifest (image_id, path, bytes), in their order; one `Read` a row, whatever befalls it.

    At most `ahead` images (default 4 a thread, at least 32) are read before they are asked for. `prepare` is applied
    to each image in the thread that decoded it; the image itself is then dropped, so that a large one does not wait
    in memory. An error in `prepare` is raised here, since it is a fault of the program and not of the file.
    """
    real_root = os.path.realpath(root)
    depth = max(32, 4 * threads) if ahead is None else max(1, ahead)
    columns = (table_slice[name].to_pylist() for name in ("image_id", "path", "bytes"))
    rows = zip(*columns, strict=True)
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="read")
    try:
        pending: deque[Future[Read]] = deque()
        pending.extend(pool.submit(_read, real_root, row, policy, prepare) for row in islice(rows, depth))
        while pending:
            read = pending.popleft().result()
            pending.extend(pool.submit(_read, real_root, row, policy, prepare) for row in islice(rows, 1))
            yield read
            del read  # so that while the caller works only its own reference keeps the pixels
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(
    real_root: str, row: tuple[int, str, int], policy: DecodePolicy, prepare: Callable[[Image.Image], Any] | None
) -> Read:
    image_id, path, planned = row
    sha256 = None
    try:
        data = _bytes(real_root, path, planned, policy)
        sha256 = hashlib.sha256(data).hexdigest()
        image = decode(data, policy)
    except ImageRejected as rejected:
        return Read(image_id, sha256=sha256, code=rejected.code, message=rejected.message)
    width, height = image.size
    if prepare is None:
        return Read(image_id, image, None, sha256, width, height)
    return Read(image_id, None, prepare(image), sha256, width, height)


def _bytes(real_root: str, path: str, planned: int, policy: DecodePolicy) -> bytes:
    """The file's content. Raises ImageRejected with one of FILE_CODES, or for a size the policy forbids."""
    try:
        full = os.path.realpath(os.path.join(real_root, to_name(path)))
        if not is_inside(full, real_root):
            raise ImageRejected("outside-root", f"{path} is a link out of the image folder: copy the file in.")
        status = os.stat(full)
        if not stat.S_ISREG(status.st_mode):  # checked before opening, since opening a pipe may wait forever
            raise ImageRejected(
                "not-a-file", f"{path} is a folder or a device, not a file: remove it from the manifest."
            )
        if planned < 0:
            raise ImageRejected("missing", f"{path} was missing when this run was planned: plan it anew to include it.")
        if status.st_size != planned:
            found = f"had {planned:,} bytes when this run was planned and has {status.st_size:,} now"
            raise ImageRejected("changed", f"{path} {found}: restore it, or plan the run anew.")
        if planned > policy.max_bytes:
            found = f"has {planned:,} bytes, the limit is {policy.max_bytes:,}"
            raise ImageRejected("too-many-bytes", f"{path} {found}: save it smaller.")
        with open(full, "rb") as file:
            return file.read(policy.max_bytes + 1)  # the bound holds even if the file grows meanwhile
    except FileNotFoundError as error:
        raise ImageRejected("missing", f"{path} is not there: restore it, or remove it from the manifest.") from error
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ImageRejected("unreadable", f"{path} cannot be read ({reason}): check permissions and disk.") from error
