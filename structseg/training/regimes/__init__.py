"""One regime a file: how batches become losses."""
