"""One file a page: read the selection, ask the store or explain, draw."""
