//! One session with a MongoDB server: commands as OP_MSG, and the login.
//!
//! Source: "MongoDB Wire Protocol" of the manual.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::apps::link::{self, Link, Place, broken};
use crate::apps::mongodb::bson::{self, Bson};
use crate::apps::mongodb::scram::Scram;

/// `serverStatus` is the longest of our answers, with some tens of kilobytes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
const OP_MSG: i32 = 2013;
const HEAD: usize = 16;
const NONCE_BYTES: usize = 24;

/// What can go wrong with a session.
#[derive(Debug)]
pub enum Failure {
    /// The connection failed or ended.
    Lost(io::Error),
    /// The server said no: its code and its words.
    Server(i64, String),
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

/// An open session.
#[derive(Debug)]
pub struct Session {
    link: Link,
    request: i32,
}

impl Session {
    /// Connects and, with a password, logs in.
    pub fn open(
        place: &Place,
        user: &str,
        password: &str,
        budget: Duration,
    ) -> Result<Self, Failure> {
        let mut session = Self { link: Link::open(place, 0, budget)?, request: 0 };
        if !password.is_empty() {
            session.log_in(user, password, budget)?;
        }
        Ok(session)
    }

    fn log_in(&mut self, user: &str, password: &str, budget: Duration) -> Result<(), Failure> {
        let mut nonce = [0; NONCE_BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut nonce)?;
        let scram = Scram::new(user, password, &nonce);
        let bytes = |text: String| Bson::Binary(text.into_bytes());
        let answer = self.ask(
            "saslStart",
            vec![
                ("mechanism", Bson::Text("SCRAM-SHA-256".into())),
                ("payload", bytes(scram.first())),
            ],
            budget,
        )?;
        let challenge = payload(&answer);
        let id = Bson::Int(i32::try_from(answer.number("conversationId")).unwrap_or(1));
        let (proof, theirs) =
            scram.last(&challenge).ok_or_else(|| broken("a login that cannot be understood"))?;
        let members = vec![("conversationId", id.clone()), ("payload", bytes(proof))];
        let mut answer = self.ask("saslContinue", members, budget)?;
        if !payload(&answer).contains(&theirs) {
            return Err(broken("the server does not know the password itself").into());
        }
        while answer.number("done") == 0 {
            let members = vec![("conversationId", id.clone()), ("payload", bytes(String::new()))];
            answer = self.ask("saslContinue", members, budget)?;
        }
        Ok(())
    }

    /// Runs one command on the administrative database, and waits no longer than `budget`
    /// for each part of the answer.
    pub fn ask(
        &mut self,
        command: &str,
        members: Vec<(&str, Bson)>,
        budget: Duration,
    ) -> Result<Bson, Failure> {
        self.link.patience(budget)?;
        let first = std::iter::once((command.to_owned(), Bson::Int(1)));
        let rest = members.into_iter().map(|(name, value)| (name.to_owned(), value));
        let database = std::iter::once(("$db".to_owned(), Bson::Text("admin".into())));
        let document: Vec<(String, Bson)> = first.chain(rest).chain(database).collect();
        let body = bson::document(&document);
        self.request += 1;
        let len = i32::try_from(HEAD + 5 + body.len()).map_err(|_| broken("too long"))?;
        let mut message = Vec::new();
        for number in [len, self.request, 0, OP_MSG, 0] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(&body);
        self.link.write_all(&message)?;
        let answer = self.receive()?;
        if answer.number("ok") != 1 {
            return Err(Failure::Server(answer.number("code"), answer.text("errmsg").to_owned()));
        }
        Ok(answer)
    }

    fn receive(&mut self) -> Result<Bson, Failure> {
        let mut head = [0; HEAD];
        self.link.read_exact(&mut head)?;
        let number = |at: usize| {
            let bytes = head.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| i32::from_le_bytes(*bytes))
        };
        let size = usize::try_from(number(0)).unwrap_or(0);
        if !(HEAD + 5..=MESSAGE_BYTES_MAX).contains(&size) || number(12) != OP_MSG {
            return Err(broken("it does not speak the protocol of MongoDB").into());
        }
        let mut body = vec![0; size - HEAD];
        self.link.read_exact(&mut body)?;
        // Flags, and the kind of the first section.
        let document = body.get(5..).and_then(bson::read);
        document.ok_or_else(|| broken("an answer that cannot be read").into())
    }
}

fn payload(answer: &Bson) -> String {
    match answer.get("payload") {
        Some(Bson::Binary(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}
