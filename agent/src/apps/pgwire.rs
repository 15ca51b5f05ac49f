//! One session with a PostgreSQL server over its unix socket: start-up and the simple
//! query protocol, version 3, for a user whom the server trusts by the peer of the
//! socket. Passwords are not spoken here, and nothing is encrypted or pooled.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::apps::link::{self, Link, Place};

/// The rows of an answer; a column is `None` where it is null.
pub type Rows = Vec<Vec<Option<String>>>;

/// Our questions have short answers; a server that sends more is not the one we know.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const PROTOCOL_3: i32 = 196_608;

/// An open session.
#[derive(Debug)]
pub struct Session {
    stream: Link,
}

/// What can go wrong with one.
#[derive(Debug)]
pub enum Failure {
    /// The connection failed or ended.
    Lost(io::Error),
    /// The server said no: its code and its words.
    Server(String, String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(error) => out.write_str(&link::words(error)),
            Self::Server(code, words) => write!(out, "{words} ({code})"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl Session {
    /// Connects as the operating system's user `uid`, so that `peer` lets us in.
    pub fn open(
        socket: &Path,
        uid: u32,
        user: &str,
        database: &str,
        budget: Duration,
    ) -> Result<Self, Failure> {
        let mut session =
            Self { stream: Link::open(&Place::Unix(socket.to_owned()), uid, budget)? };
        let mut body = PROTOCOL_3.to_be_bytes().to_vec();
        for word in ["user", user, "database", database, "application_name", "stillpoint-agent", ""]
        {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        session.send(None, &body)?;
        session.answer()?;
        Ok(session)
    }

    /// Asks one question and waits no longer than `budget` for each part of the answer.
    pub fn query(&mut self, sql: &str, budget: Duration) -> Result<Rows, Failure> {
        self.stream.patience(budget)?;
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.answer()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Failure> {
        let len = i32::try_from(body.len() + 4).map_err(|_| broken("the question is too long"))?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&len.to_be_bytes());
        message.extend_from_slice(body);
        Ok(self.stream.write_all(&message)?)
    }

    /// Reads until the server is ready for the next question.
    fn answer(&mut self) -> Result<Rows, Failure> {
        let mut rows = Vec::new();
        let mut refusal = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'Z' => return refusal.map_or(Ok(rows), Err),
                b'D' => rows.push(row(&body).ok_or_else(|| broken("a row that cannot be read"))?),
                b'E' => {
                    let error = server_error(&body);
                    // After these the server closes instead of becoming ready.
                    if matches!(&error, Failure::Server(code, _) if fatal(code)) {
                        return Err(error);
                    }
                    refusal = Some(error);
                }
                b'R' if body != 0_i32.to_be_bytes() => {
                    return Err(broken("it asks for a password; allow peer authentication"));
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [kind, len @ ..] = head;
        let len = usize::try_from(i32::from_be_bytes(len)).unwrap_or(0);
        if !(4..=MESSAGE_BYTES_MAX).contains(&len) {
            return Err(broken("a message of an impossible length"));
        }
        let mut body = vec![0; len - 4];
        self.stream.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

fn broken(what: &str) -> Failure {
    link::broken(what).into()
}

/// Refused start-ups (28..., 3D...) and servers that go away (57P...).
fn fatal(code: &str) -> bool {
    code.starts_with("28")
        || code.starts_with("3D")
        || code.starts_with("57P")
        || code.starts_with("53")
}

fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            columns.push(None);
            rest = after;
            continue;
        };
        let value = after.get(..len)?;
        columns.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after.get(len..)?;
    }
    Some(columns)
}

fn server_error(body: &[u8]) -> Failure {
    let (mut code, mut words) = (String::new(), String::new());
    for field in body.split(|&byte| byte == 0) {
        match field.split_first() {
            Some((b'C', text)) => code = String::from_utf8_lossy(text).into_owned(),
            Some((b'M', text)) => words = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    Failure::Server(code, words)
}
