"""`python -m tests.browser.serve_probe`: the probe app behind the product's own server."""

import logging
import sys
from pathlib import Path

from pages._ui.server import main

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    sys.exit(main(sys.argv[1:], Path(__file__).with_name("probe.py")))
