"""`python -m tests.browser.serve_slow`: the product, whose models take seconds longer to load, as large ones do."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from core.explain import Explainer
from pages._ui import live, resources
from pages._ui.server import main

SECONDS = 6


def _slow(facts: Mapping[str, Any], make_room: Callable[[], None]) -> Explainer:
    time.sleep(SECONDS)
    return resources._load(facts, make_room)


if __name__ == "__main__":
    resources.MODELS = live.LiveModels(_slow, resources._weight, resources._memory)
    sys.exit(main(sys.argv[1:]))
