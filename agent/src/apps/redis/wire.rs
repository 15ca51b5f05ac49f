//! One session with a Redis or Valkey server: commands and the second version of its
//! protocol. A login that fails ends the session: the server would go on with another user.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use crate::apps::link::{self, Link, Place, broken};

/// Our questions have short answers; a server that sends more is not the one we know.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const LIST_MAX: usize = 1_024;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A text, or a number as text.
    Text(String),
    /// Several.
    List(Vec<Reply>),
    /// Nothing.
    Nothing,
}

impl Reply {
    /// The text; empty where there is none.
    #[must_use]
    pub fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }
}

/// What can go wrong with a session.
#[derive(Debug)]
pub enum Failure {
    /// The connection failed or ended.
    Lost(io::Error),
    /// The server said no, in these words.
    Server(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(error) => out.write_str(&link::words(error)),
            Self::Server(words) => out.write_str(words),
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
    link: BufReader<Link>,
}

impl Session {
    /// Connects and, with a password, logs in.
    pub fn open(
        place: &Place,
        user: &str,
        password: &str,
        budget: Duration,
    ) -> Result<Self, Failure> {
        let mut session = Self { link: BufReader::new(Link::open(place, 0, budget)?) };
        if !password.is_empty() {
            session.ask(&["AUTH", user, password], budget)?;
        }
        Ok(session)
    }

    /// Sends one command and waits no longer than `budget` for each part of the answer.
    pub fn ask(&mut self, words: &[&str], budget: Duration) -> Result<Reply, Failure> {
        self.link.get_ref().patience(budget)?;
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.link.get_mut().write_all(&command)?;
        self.receive(0)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.link).take(ANSWER_BYTES_MAX).read_line(&mut line)?;
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn receive(&mut self, depth: usize) -> Result<Reply, Failure> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| broken("an empty answer"))?;
        let count = || rest.parse::<i64>().map_err(|_| broken("a length that is none"));
        match kind {
            "+" | ":" => Ok(Reply::Text(rest.to_owned())),
            "-" => Err(Failure::Server(rest.to_owned())),
            "$" => {
                let Ok(len) = u64::try_from(count()?) else { return Ok(Reply::Nothing) };
                if len > ANSWER_BYTES_MAX {
                    return Err(broken("an answer of an impossible length").into());
                }
                let mut text = Vec::new();
                (&mut self.link).take(len + 2).read_to_end(&mut text)?;
                let text = text.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof);
                Ok(Reply::Text(String::from_utf8_lossy(text.map_err(io::Error::from)?).into()))
            }
            "*" => {
                let Ok(count) = usize::try_from(count()?) else { return Ok(Reply::Nothing) };
                if count > LIST_MAX || depth > 2 {
                    return Err(broken("a list of an impossible length").into());
                }
                (0..count)
                    .map(|_| self.receive(depth + 1))
                    .collect::<Result<_, _>>()
                    .map(Reply::List)
            }
            _ => Err(broken("it does not speak the protocol of Redis").into()),
        }
    }
}
