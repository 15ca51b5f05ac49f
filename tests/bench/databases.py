from __future__ import annotations
def run(bench):
    pass
