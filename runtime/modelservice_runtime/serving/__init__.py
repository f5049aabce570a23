"""One server's life and what it tells about itself; not what a request means."""
