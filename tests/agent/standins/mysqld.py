#!/usr/bin/python3
"""A stand-in for MySQL 8 at its protocol: the handshake with each login plugin, and the statements that
lock it. Locks belong to sessions and end with them, as in the manual.

`mysqld SOCKET STATE`. STATE is a folder: `settings.json` (plugin, password, version, comment, datadir,
full), `long-query` (its seconds), `fail-<statement>` (number and words), and what happened.
"""

import hashlib
import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path

path, state = sys.argv[1], Path(sys.argv[2])
settings = json.loads((state / "settings.json").read_text())
NONCE = bytes(range(1, 21))
LOG_STATUS = ['{"gtid_executed": "3e11fa47:1-5,\\n4e11fa47:1", "binary_log_file": "binlog.000002", '
              '"binary_log_position": 1545}', '{"InnoDB": {"LSN": 31415, "LSN_checkpoint": 3}}',
              '{"channels": [{"relay_log_file": "relay.2", "relay_log_position": 9}]}']


def text(value):
    data = value.encode()
    return b"\xfc" + struct.pack("<H", len(data)) + data if len(data) > 250 else bytes(
        [len(data)]) + data


def expected(plugin, password):
    word = password.encode()
    if plugin == "mysql_native_password":
        once, kind = hashlib.sha1(word).digest(), hashlib.sha1
        mask = kind(NONCE + kind(once).digest()).digest()
    else:
        once, kind = hashlib.sha256(word).digest(), hashlib.sha256
        mask = kind(kind(once).digest() + NONCE).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True)) if password else b""


class Session:
    def __init__(self, link, number):
        self.link, self.number, self.sequence = link, number, 0

    def send(self, body):
        self.link.sendall(struct.pack("<I", len(body))[:3] + bytes([self.sequence]) + body)
        self.sequence += 1

    def receive(self):
        head = self.link.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            raise EOFError
        self.sequence = head[3] + 1
        size = int.from_bytes(head[:3], "little")
        return self.link.recv(size, socket.MSG_WAITALL) if size else b""

    def ok(self):
        self.send(b"\0\0\0\2\0\0\0")

    def error(self, number, words):
        self.send(b"\xff" + struct.pack("<H", number) + b"#HY000" + words.encode())

    def rows(self, rows):
        self.send(bytes([len(rows[0]) if rows else 1]))
        for _ in range(len(rows[0]) if rows else 1):
            self.send(text("def") + text("") * 3 + text("c") + text("c") + b"\x0c" + bytes(12))
        self.send(b"\xfe\0\0\2\0")
        for row in rows:
            self.send(b"".join(b"\xfb" if one is None else text(one) for one in row))
        self.send(b"\xfe\0\0\2\0")

    def log_in(self):
        plugin, password = settings["plugin"], settings.get("password", "")
        version = settings["version"].encode()
        self.send(b"\x0a" + version + b"\0" + struct.pack("<I", self.number) + NONCE[:8] + b"\0"
                  + b"\xff\xf7" + b"\xff" + b"\2\0" + b"\xff\xdf" + bytes([21]) + bytes(10)
                  + NONCE[8:] + b"\0" + b"caching_sha2_password\0")
        answer = self.receive()
        user, rest = answer[32:].split(b"\0", 1)
        answer = rest[1:1 + rest[0]]
        if plugin != "caching_sha2_password":
            self.send(b"\xfe" + plugin.encode() + b"\0" + NONCE + b"\0")
            answer = self.receive()
        if plugin == "auth_socket":
            good = answer == b"" and user == b"root"
        elif settings.get("full") and password:
            self.send(b"\x01\x04")
            good = self.receive() == password.encode() + b"\0"
        else:
            good = answer == expected(plugin, password)
            if good and plugin == "caching_sha2_password":
                self.send(b"\x01\x03")
        if not good:
            self.error(1045, f"Access denied for user '{user.decode()}'@'localhost'")
            raise EOFError
        self.ok()

    def query(self, sql):
        with open(state / "statements", "a") as log:
            log.write(f"{self.number} {sql}\n")
        for fault in state.glob("fail-*"):
            if sql.startswith(fault.name[5:]):
                number, words = fault.read_text().split(" ", 1)
                return self.error(int(number), words)
        if "@@version" in sql:
            return self.rows([[settings["version"], settings.get("comment", "MySQL Community"),
                               settings["datadir"], None, "./", "./",
                               settings["datadir"] + "/binlog", None, "1"]])
        if "PROCESSLIST" in sql:
            long = state / "long-query"
            return self.rows([["99", long.read_text()]] if long.exists() else [])
        if "log_status" in sql:
            return self.rows([LOG_STATUS])
        return self.ok()

    def serve(self):
        try:
            self.log_in()
            while (command := self.receive())[:1] == b"\x03":
                self.query(command[1:].decode())
        except (EOFError, ConnectionError):
            pass
        with open(state / "statements", "a") as log:
            log.write(f"{self.number} end\n")
        self.link.close()


listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o777)
listener.listen()
(state / "ready").touch()
number = 0
while True:
    number += 1
    threading.Thread(target=Session(listener.accept()[0], number).serve, daemon=True).start()
