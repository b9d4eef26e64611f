"""The chat room in the browser: the third platform, on this machine alone."""
