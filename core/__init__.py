"""Unitscope's core: models, methods, statistics, text and bundles. No Streamlit, no Ray, no pages."""
