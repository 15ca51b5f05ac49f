"""A TLS entrance to an address of this machine, since AWS is reached by TLS and it takes memory."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# The roots of the machine, as many as Lambda's image has, which a client parses too.
ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")


@contextlib.contextmanager
def entrance(folder: Path, port: int) -> Iterator[tuple[str, Path]]:
    """`https://127.0.0.1:...`, and the roots that a client of it needs."""
    pem, root = _certificates()
    (folder / "server.pem").write_bytes(pem)
    roots = folder / "roots.pem"
    roots.write_bytes((ROOTS.read_bytes() if ROOTS.exists() else b"") + root)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.set_alpn_protocols(["http/1.1"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, forth), _copy(back, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=128))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", roots
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


def _certificates() -> tuple[bytes, bytes]:
    """A server's key and certificate, and the certificate of who signed it."""
    signer, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("engine root", signer, None, signer)
    leaf = _certificate("engine", server, root, signer)
    key = server.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                               serialization.NoEncryption())
    return key + _pem(leaf), _pem(root)


def _certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None,
                 signer: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (x509.CertificateBuilder().subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day).not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(signer, hashes.SHA256()))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
