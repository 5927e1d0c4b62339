"""The Hugging Face Hub: left alone where it does not answer, and asked as ever where it does."""

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from core.errors import WeightsError
from core.models.hub import hub_or_cache
from core.models.zoo import load_member


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and no patience."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")

    def sleep(seconds: float) -> None:
        raise AssertionError(f"a user waits {seconds} s for what will not come")

    monkeypatch.setattr(time, "sleep", sleep)


def test_without_a_network_the_refusal_comes_at_once(nobody: None) -> None:
    with pytest.raises(WeightsError, match=r"timm:resnet18 could not be downloaded .*127\.0\.0\.1:9 cannot be reached"):
        load_member("timm:resnet18", device="cpu")
    with pytest.raises(WeightsError, match=r"'laion2b_s34b_b79k' of ViT-B-32 could not be .*cannot be reached"):
        load_member("ViT-B-32:laion2b_s34b_b79k", device="cpu")
    assert not constants.HF_HUB_OFFLINE


def test_without_a_network_the_cache_is_used_and_other_errors_pass(nobody: None, empty_cache: Path) -> None:
    kept = empty_cache / "models--timm--it"
    (kept / "snapshots" / "1").mkdir(parents=True)
    (kept / "snapshots" / "1" / "model.safetensors").write_bytes(b"weights")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("1")
    with hub_or_cache():
        found = huggingface_hub.hf_hub_download("timm/it", "model.safetensors")
    assert Path(found).read_bytes() == b"weights"
    with pytest.raises(ZeroDivisionError), hub_or_cache():
        raise ZeroDivisionError
    assert not constants.HF_HUB_OFFLINE


class Answers(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_any_answer_will_do(somebody: None) -> None:
    with hub_or_cache():  # where the switch is set, nothing goes out
        assert huggingface_hub.get_session().head(f"{constants.ENDPOINT}/it").status_code == 404
