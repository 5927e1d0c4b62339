"""Downloads from the Hugging Face Hub that are refused at once where it cannot be reached."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled

_ANSWER_S = 10.0  # the Hub client's own patience with one answer
_lock = threading.Lock()  # the client has one switch for all threads


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Within it, the Hub client looks into its cache alone if the Hub does not answer one question.

    Left to itself it would ask six times over 23 s for each of a model's possible files: a busy server comes back
    meanwhile, but without a network the user waits for nothing. Raises ConnectionError, with what went wrong, where the
    cache has no such file; whatever else is raised within passes.
    """
    try:
        _ask()
    except ConnectionError as error:
        unreachable = error
    else:
        yield
        return
    with _lock:
        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        except (FileNotFoundError, OfflineModeIsEnabled) as error:  # the Hub client's, or open_clip's from it
            raise unreachable from error
        finally:
            constants.HF_HUB_OFFLINE = before


def _ask() -> None:
    """ConnectionError if the Hub gives no answer, whatever it be."""
    try:
        get_session().head(constants.ENDPOINT, timeout=_ANSWER_S)
    except Exception as error:  # of the HTTP library beneath the client, which is another from version to version
        raise ConnectionError(f"{constants.ENDPOINT} cannot be reached: {error}") from error
