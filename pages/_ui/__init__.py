"""What the pages share: selection, resources, grid, figures, keys, states, footer, and the server itself."""
