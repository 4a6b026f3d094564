"""``sseprog demo``: a page on which videos are transcoded while people watch every step."""
