//! One session with a MySQL or MariaDB server over its unix socket: the handshake of
//! protocol version 10 and text queries. Nothing is encrypted or pooled, and no file is
//! ever sent.
//!
//! Source: "Client/Server Protocol" of the MySQL and MariaDB manuals.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::apps::link::{self, Link, Place, broken};
use crate::apps::mysql::auth;

/// The rows of an answer; a column is `None` where it is null.
pub type Rows = Vec<Vec<Option<String>>>;

/// Our questions have short answers; a server that sends more is not the one we know.
const PACKET_BYTES_MAX: usize = 1 << 20;
const CAPABILITIES: u32 = 0x1 /* long password */ | 0x200 /* protocol 4.1 */
    | 0x2000 /* transactions */ | 0x8000 /* secure connection */ | 0x8_0000 /* plugin auth */;
/// utf8mb4_general_ci, which every version has.
const COLLATION: u8 = 45;
const QUERY: u8 = 3;
const OK: u8 = 0;
const MORE_DATA: u8 = 1;
const LOCAL_FILE: u8 = 0xfb;
const EOF: u8 = 0xfe;
const ERROR: u8 = 0xff;

/// What can go wrong with a session.
#[derive(Debug)]
pub enum Failure {
    /// The connection failed or ended.
    Lost(io::Error),
    /// The server said no: its number and its words.
    Server(u16, String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(error) => out.write_str(&link::words(error)),
            Self::Server(number, words) => write!(out, "{words} ({number})"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    link: Link,
    sequence: u8,
}

impl Session {
    /// Connects and logs in.
    pub fn open(
        place: &Place,
        uid: u32,
        user: &str,
        password: &str,
        budget: Duration,
    ) -> Result<Self, Failure> {
        let mut session = Self { link: Link::open(place, uid, budget)?, sequence: 0 };
        let greeting = session.receive()?;
        if greeting.first() == Some(&ERROR) {
            return Err(server_error(&greeting));
        }
        let greeting = Greeting::parse(&greeting)
            .ok_or_else(|| broken("it does not speak the protocol of MySQL"))?;
        let first = auth::answer(&greeting.plugin, password, &greeting.nonce).unwrap_or_default();
        let mut body = CAPABILITIES.to_le_bytes().to_vec();
        body.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        body.push(COLLATION);
        body.extend_from_slice(&[0; 23]);
        body.extend_from_slice(user.as_bytes());
        body.push(0);
        body.push(u8::try_from(first.len()).unwrap_or(0));
        body.extend_from_slice(&first);
        body.extend_from_slice(greeting.plugin.as_bytes());
        body.push(0);
        session.send(&body)?;
        session.log_in(password)?;
        Ok(session)
    }

    /// Answers whatever the server asks, until it lets us in.
    fn log_in(&mut self, password: &str) -> Result<(), Failure> {
        loop {
            let packet = self.receive()?;
            match packet.split_first() {
                Some((&OK, _)) => return Ok(()),
                Some((&ERROR, _)) => return Err(server_error(&packet)),
                Some((&EOF, rest)) => {
                    let (plugin, nonce) = text_until_nul(rest);
                    let answer = auth::answer(&plugin, password, nonce).ok_or_else(|| {
                        broken(&format!(
                            "the user logs in with {plugin:?}, which is not spoken here; \
                             give it unix_socket or auth_socket, or a password"
                        ))
                    })?;
                    self.send(&answer)?;
                }
                Some((&MORE_DATA, [auth::CACHED])) => {}
                // To be sent in clear, which over this socket is not less safe.
                Some((&MORE_DATA, [auth::FULL])) if self.link.is_private() => {
                    let mut clear = password.as_bytes().to_vec();
                    clear.push(0);
                    self.send(&clear)?;
                }
                _ => return Err(broken("a login that cannot be understood").into()),
            }
        }
    }

    /// Asks one question and waits no longer than `budget` for each part of the answer.
    pub fn query(&mut self, sql: &str, budget: Duration) -> Result<Rows, Failure> {
        self.link.patience(budget)?;
        self.sequence = 0;
        let mut body = vec![QUERY];
        body.extend_from_slice(sql.as_bytes());
        self.send(&body)?;
        let first = self.receive()?;
        let columns = match first.first() {
            Some(&OK) => return Ok(Rows::new()),
            Some(&ERROR) => return Err(server_error(&first)),
            Some(&LOCAL_FILE) | None => return Err(broken("it asks for a file").into()),
            Some(_) => length(&first).ok_or_else(|| broken("an answer without a length"))?.0,
        };
        for _ in 0..columns {
            self.receive()?;
        }
        if !is_eof(&self.receive()?) {
            return Err(broken("columns without an end").into());
        }
        let mut rows = Rows::new();
        loop {
            let packet = self.receive()?;
            match packet.first() {
                Some(&ERROR) => return Err(server_error(&packet)),
                _ if is_eof(&packet) => return Ok(rows),
                _ => rows.push(
                    row(&packet, columns).ok_or_else(|| broken("a row that cannot be read"))?,
                ),
            }
        }
    }

    fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let len = u32::try_from(body.len()).map_err(|_| broken("the question is too long"))?;
        let mut packet = len.to_le_bytes()[..3].to_vec();
        packet.push(self.sequence);
        packet.extend_from_slice(body);
        self.sequence = self.sequence.wrapping_add(1);
        self.link.write_all(&packet)
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.link.read_exact(&mut head)?;
        let [a, b, c, sequence] = head;
        let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        if len > PACKET_BYTES_MAX {
            return Err(broken("a packet of an impossible length"));
        }
        self.sequence = sequence.wrapping_add(1);
        let mut body = vec![0; len];
        self.link.read_exact(&mut body)?;
        Ok(body)
    }
}

/// What matters of the server's first packet.
struct Greeting {
    nonce: Vec<u8>,
    plugin: String,
}

impl Greeting {
    fn parse(packet: &[u8]) -> Option<Self> {
        let (&10, rest) = packet.split_first()? else { return None };
        let (_version, rest) = text_until_nul(rest);
        // Thread id; then the nonce's first part, a filler, capabilities, collation, status
        // and capabilities again; the nonce's length; ten unused bytes; its second part.
        let first = rest.get(4..12)?;
        let nonce_len = usize::from(*rest.get(20)?);
        let second_len = nonce_len.saturating_sub(8).max(13);
        let second = rest.get(31..31 + second_len)?;
        let (plugin, _) = text_until_nul(rest.get(31 + second_len..).unwrap_or_default());
        Some(Self { nonce: [first, second].concat(), plugin })
    }
}

fn text_until_nul(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let rest = bytes.get(end + 1..).unwrap_or_default();
    (String::from_utf8_lossy(&bytes[..end]).into_owned(), rest)
}

fn is_eof(packet: &[u8]) -> bool {
    packet.first() == Some(&EOF) && packet.len() < 9
}

/// A length-encoded number and the bytes that it takes.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let wide = |count: usize| {
        let mut wide = [0; 8];
        wide.get_mut(..count)?.copy_from_slice(bytes.get(1..=count)?);
        Some((usize::try_from(u64::from_le_bytes(wide)).ok()?, 1 + count))
    };
    match *bytes.first()? {
        small @ 0..=0xfa => Some((usize::from(small), 1)),
        0xfc => wide(2),
        0xfd => wide(3),
        0xfe => wide(8),
        _ => None,
    }
}

fn row(packet: &[u8], columns: usize) -> Option<Vec<Option<String>>> {
    let (mut values, mut rest) = (Vec::new(), packet);
    for _ in 0..columns {
        if rest.first() == Some(&LOCAL_FILE) {
            values.push(None);
            rest = rest.get(1..)?;
            continue;
        }
        let (len, head) = length(rest)?;
        let value = rest.get(head..head.checked_add(len)?)?;
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = rest.get(head + len..)?;
    }
    Some(values)
}

/// Number, perhaps `#` and five characters of SQL state, words.
fn server_error(packet: &[u8]) -> Failure {
    let number = packet.get(1..3).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
    let rest = packet.get(3..).unwrap_or_default();
    let words = if rest.first() == Some(&b'#') { rest.get(6..).unwrap_or_default() } else { rest };
    Failure::Server(number, String::from_utf8_lossy(words).into_owned())
}
