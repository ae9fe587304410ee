"""The HTTP server: h11 reads heads, gevent waits, and no connection can hold the loop."""
