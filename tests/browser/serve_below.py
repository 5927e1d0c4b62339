"""`python -m tests.browser.serve_below`: the app below a path, as behind a reverse proxy that serves it at /lens/."""

import sys

import streamlit as st
from streamlit import config

from pages._ui import server

if __name__ == "__main__":
    st.App(server.APP)  # reads config.toml, which would otherwise come after us
    config.set_option("server.baseUrlPath", "lens")
    sys.exit(server.main(sys.argv[1:]))
