"""What is deployed, measured: the packaged functions started as Lambda starts them.

`python -m engine` (from `make bench ONLY=engine`) measures the size of the zips, the time from a
function's start to its first poll, and the memory of a runner with fifty runs in flight.
"""
