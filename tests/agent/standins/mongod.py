#!/usr/bin/python3
"""A stand-in for mongod at its wire protocol: OP_MSG, SCRAM-SHA-256, `fsync` with a lock count.

`mongod SOCKET STATE`. Follows the manual: the lock is the server's, not the session's; unlocking what
is not locked is error 20; commands without a login are error 13. STATE is a folder: `settings.json`
(password, dbPath, version, persistent), `fail-<command>` (the words of an error), and what happened.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path

path, state = sys.argv[1], Path(sys.argv[2])
settings = json.loads((state / "settings.json").read_text())
locks = 0


def encode(value):
    body = b""
    for name, one in value.items():
        key = name.encode() + b"\0"
        if isinstance(one, bool):
            body += b"\x08" + key + bytes([one])
        elif isinstance(one, int):
            body += b"\x10" + key + struct.pack("<i", one)
        elif isinstance(one, float):
            body += b"\x01" + key + struct.pack("<d", one)
        elif isinstance(one, str):
            text = one.encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(text)) + text
        elif isinstance(one, bytes):
            body += b"\x05" + key + struct.pack("<ib", len(one), 0) + one
        elif isinstance(one, tuple):
            body += b"\x11" + key + struct.pack("<II", one[1], one[0])
        elif isinstance(one, list):
            body += b"\x04" + key + encode({str(at): item for at, item in enumerate(one)})
        else:
            body += b"\x03" + key + encode(one)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(data):
    found, at = {}, 4
    while data[at]:
        kind, end = data[at], data.index(0, at + 1)
        name, at = data[at + 1:end].decode(), end + 1
        if kind == 2:
            (size,) = struct.unpack_from("<i", data, at)
            found[name], at = data[at + 4:at + 3 + size].decode(), at + 4 + size
        elif kind == 5:
            (size,) = struct.unpack_from("<i", data, at)
            found[name], at = data[at + 5:at + 5 + size], at + 5 + size
        elif kind == 8:
            found[name], at = bool(data[at]), at + 1
        elif kind == 16:
            (found[name],), at = struct.unpack_from("<i", data, at), at + 4
        else:
            raise ValueError(kind)
    return found


def fields(text):
    return dict(part.split("=", 1) for part in text.split(","))


def mac(key, message):
    return hmac.new(key, message.encode(), "sha256").digest()


class Login:
    """The server's side of RFC 5802."""

    def __init__(self):
        self.done = not settings.get("password")

    def first(self, payload):
        self.bare = payload.decode().split(",", 2)[2]
        self.nonce = fields(self.bare)["r"] + "server"
        self.salt = os.urandom(16)
        self.challenge = f"r={self.nonce},s={base64.b64encode(self.salt).decode()},i=4096"
        return self.challenge.encode()

    def last(self, payload):
        got = fields(payload.decode())
        salted = hashlib.pbkdf2_hmac("sha256", settings["password"].encode(), self.salt, 4096)
        message = f"{self.bare},{self.challenge},c=biws,r={self.nonce}"
        key = mac(salted, "Client Key")
        signature = mac(hashlib.sha256(key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        if base64.b64decode(got["p"]) != proof or got["r"] != self.nonce:
            return None
        self.done = True
        theirs = base64.b64encode(mac(mac(salted, "Server Key"), message)).decode()
        return f"v={theirs}".encode()


def answer(command, login):
    global locks
    name = next(iter(command))
    with open(state / "commands", "a") as log:
        log.write(f"{name}{' lock' if command.get('lock') else ''}\n")
    fault = state / f"fail-{name}{'-lock' if command.get('lock') else ''}"
    if fault.exists():
        return {"ok": 0.0, "errmsg": fault.read_text(), "code": 8}
    if name == "saslStart":
        return {"ok": 1.0, "conversationId": 1, "done": False,
                "payload": login.first(command["payload"])}
    if name == "saslContinue":
        proof = login.last(command["payload"]) if not login.done else b""
        if proof is None:
            return {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18}
        return {"ok": 1.0, "conversationId": 1, "done": not proof, "payload": proof}
    if name not in ("hello", "buildInfo") and not login.done:
        return {"ok": 0.0, "errmsg": f"command {name} requires authentication", "code": 13}
    if name == "hello":
        return {"ok": 1.0, "isWritablePrimary": True,
                "lastWrite": {"opTime": {"ts": (1700000000, settings.get("writes", 1)), "t": 3}}}
    if name == "buildInfo":
        return {"ok": 1.0, "version": settings.get("version", "7.0.14")}
    if name == "serverStatus":
        return {"ok": 1.0, "storageEngine": {"name": "wiredTiger",
                                             "persistent": settings.get("persistent", True)}}
    if name == "currentOp":
        return {"ok": 1.0, "inprog": [], **({"fsyncLock": True} if locks else {})}
    if name == "getCmdLineOpts":
        return {"ok": 1.0, "argv": ["mongod"], "parsed": {"storage": {"dbPath": settings["dbPath"]}}}
    if name == "fsync":
        locks += bool(command.get("lock"))
        return {"ok": 1.0, **({"lockCount": locks} if command.get("lock") else {"numFiles": 1})}
    if name == "fsyncUnlock":
        if not locks:
            return {"ok": 0.0, "errmsg": "fsyncUnlock called when not locked", "code": 20}
        locks -= 1
        return {"ok": 1.0, "info": "fsyncUnlock completed", "lockCount": locks}
    return {"ok": 0.0, "errmsg": f"no such command: '{name}'", "code": 59}


def serve(link):
    login = Login()
    with link:
        while head := link.recv(16, socket.MSG_WAITALL):
            size, request, _, op = struct.unpack("<iiii", head)
            body = link.recv(size - 16, socket.MSG_WAITALL)
            assert op == 2013 and body[:5] == bytes(5)
            data = bytes(5) + encode(answer(decode(body[5:]), login))
            link.sendall(struct.pack("<iiii", 16 + len(data), 1, request, 2013) + data)
            (state / "locks").write_text(str(locks))


listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
(state / "ready").touch()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
