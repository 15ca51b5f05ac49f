"""Thaws every lab volume when the lab is gone; a process of its own, so that it outlives the lab.

The lab sends it an open descriptor of each volume's mount before anything can freeze there, and
a heartbeat. When the socket closes (the lab ended, however) or the heartbeat stops, it calls
FITHAW on every descriptor, again and again for a while, each call in a thread of its own because
FITHAW blocks while a freeze is still syncing. It opens nothing and starts nothing.
"""

from __future__ import annotations

import array
import fcntl
import os
import signal
import socket
import sys
import threading
import time

FITHAW = 0xC0045878
# The lab beats every 5 seconds; a lab that was stopped or hangs loses its holds after this.
SILENCE_SECONDS = 60.0
# A freeze that is still syncing completes after the first FITHAW; later ones undo it.
THAW_ROUNDS = 20
THAW_PAUSE_SECONDS = 0.5


def thaw_once(fds: list[int]) -> None:
    def one(fd: int) -> None:
        try:
            fcntl.ioctl(fd, FITHAW, 0)
        except OSError:
            pass  # EINVAL: it was not frozen

    threads = [threading.Thread(target=one, args=(fd,), daemon=True) for fd in fds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(THAW_PAUSE_SECONDS)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    control = socket.socket(fileno=int(sys.argv[1]))
    control.settimeout(SILENCE_SECONDS)
    held: dict[str, int] = {}
    while True:
        try:
            data, ancillary, _, _ = control.recvmsg(4096, socket.CMSG_LEN(4))
        except TimeoutError:
            thaw_once(list(held.values()))
            continue
        if not data:
            break
        word, _, key = data.decode().partition(" ")
        fds = array.array("i")
        for _, _, payload in ancillary:
            fds.frombytes(payload)
        if word == "hold":
            held[key] = fds[0]
        elif word == "drop" and key in held:
            os.close(held.pop(key))
        if word in ("hold", "drop"):
            control.send(b"ok")
    for _ in range(THAW_ROUNDS if held else 0):
        thaw_once(list(held.values()))
        time.sleep(THAW_PAUSE_SECONDS)
    # Not exit(): a thread may still hang in FITHAW, and the descriptors must go now.
    os._exit(0)


main()
