//! A connection to a server on this machine: its unix socket, or its port on an address
//! of this machine. Nothing here leaves the machine, and nothing is encrypted.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sys;

/// The thread makes one system call, in a process that locks all its memory.
const STACK_BYTES: usize = 64 * 1024;
/// A time-out of zero would be none.
const PATIENCE_MIN: Duration = Duration::from_millis(1);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A unix socket.
    Unix(PathBuf),
    /// A port.
    Tcp(SocketAddr),
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "{}", path.display()),
            Self::Tcp(address) => write!(out, "{address}"),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub enum Link {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over a port.
    Tcp(TcpStream),
}

impl Link {
    /// Connects, over a unix socket as the operating system's user `uid`: the kernel tells
    /// the server who was at the other end when the connection was made, so one thread
    /// becomes that user for just this call.
    pub fn open(place: &Place, uid: u32, budget: Duration) -> io::Result<Self> {
        let budget = budget.max(PATIENCE_MIN);
        let link = match place {
            Place::Unix(path) => Self::Unix(connect_as(path.clone(), uid, budget)?),
            Place::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, budget)?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
        };
        link.patience(budget)?;
        Ok(link)
    }

    /// How long each read and write may take from now on.
    pub fn patience(&self, budget: Duration) -> io::Result<()> {
        let budget = Some(budget.max(PATIENCE_MIN));
        match self {
            Self::Unix(stream) => {
                stream.set_read_timeout(budget).and_then(|()| stream.set_write_timeout(budget))
            }
            Self::Tcp(stream) => {
                stream.set_read_timeout(budget).and_then(|()| stream.set_write_timeout(budget))
            }
        }
    }

    /// Whether a secret may be sent in clear: only this machine's kernel would see it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl Read for Link {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(bytes),
            Self::Tcp(stream) => stream.read(bytes),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of a connection for a person.
#[must_use]
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
        _ => error.to_string(),
    }
}

/// Whether nobody listens where a server was.
#[must_use]
pub fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// What a server says that cannot be understood.
#[must_use]
pub fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn connect_as(path: PathBuf, uid: u32, budget: Duration) -> io::Result<UnixStream> {
    let (sender, receiver) = mpsc::channel();
    let connecting = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let connected = sys::set_thread_euid(uid).and_then(|()| UnixStream::connect(path));
        // Nobody listens any more after a time-out.
        let _ = sender.send(connected);
    })?;
    match receiver.recv_timeout(budget) {
        Ok(connected) => {
            // Forks come later, and they must not find a second thread.
            let _ = connecting.join();
            connected
        }
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
