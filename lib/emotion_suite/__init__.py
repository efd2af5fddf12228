"""The suite around the library: runs, checks and publishes the notebooks."""
