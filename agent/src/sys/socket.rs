//! Sockets that keep message boundaries.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::{check, owned};

/// A connected pair of sockets that keep message boundaries.
pub fn socket_pair() -> io::Result<(UnixStream, UnixStream)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the pointer is to two live integers; on success both are ours alone.
    unsafe {
        check(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()))?;
        Ok((UnixStream::from_raw_fd(fds[0]), UnixStream::from_raw_fd(fds[1])))
    }
}

fn unix_address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: sockaddr_un is plain integers, for which all-zero is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or(1);
    let bytes = CString::new(path.as_os_str().as_bytes())?.into_bytes_with_nul();
    if bytes.len() > address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "socket path is too long"));
    }
    for (slot, byte) in address.sun_path.iter_mut().zip(bytes) {
        *slot = libc::c_char::from_ne_bytes([byte]);
    }
    Ok(address)
}

fn message_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes three integers.
    owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })
}

/// The length of a kernel structure, as socket calls take it.
fn len_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// Listens at a path, on a socket that keeps message boundaries.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (address, socket) = (unix_address(path)?, message_socket()?);
    // SAFETY: the address is live and its length is that of its type.
    unsafe {
        check(libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            len_of::<libc::sockaddr_un>(),
        ))?;
        check(libc::listen(socket.as_raw_fd(), 8))?;
    }
    Ok(UnixListener::from(socket))
}

/// Connects to such a listener.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (address, socket) = (unix_address(path)?, message_socket()?);
    // SAFETY: the address is live and its length is that of its type.
    check(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            len_of::<libc::sockaddr_un>(),
        )
    })?;
    Ok(UnixStream::from(socket))
}

/// The user at the other end, as the kernel knew it when the connection was made.
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = len_of::<libc::ucred>();
    // SAFETY: pointer and length are those of one live ucred.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    })?;
    Ok(peer.uid)
}
