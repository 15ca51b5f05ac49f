//! One session with SQL Server by way of its vendor's `sqlcmd`, which stays as long as the
//! session does: the suspension belongs to the session that asked for it.
//!
//! Its login is encrypted in a way that is not spoken here. The password goes by the
//! client's environment, never on its command line.

use std::io::{PipeReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::apps::link::Place;
use crate::sys;
use crate::thaw::millis;

/// Where the vendor's packages put it.
const PROGRAMS: [&str; 4] = [
    "/opt/mssql-tools18/bin/sqlcmd",
    "/opt/mssql-tools/bin/sqlcmd",
    "/usr/local/bin/sqlcmd",
    "/usr/bin/sqlcmd",
];
/// Our questions have short answers; a client that says more is not the one we know.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Marks the end of an answer.
const MARK: &str = "stillpoint-end-of-answer";

/// An open session.
#[derive(Debug)]
pub struct Session {
    client: Child,
    input: ChildStdin,
    output: PipeReader,
    said: Vec<u8>,
    count: u32,
}

impl Session {
    /// Starts the client and logs in.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub fn open(
        place: &Place,
        user: &str,
        password: &str,
        budget: Duration,
    ) -> Result<Self, String> {
        let program = PROGRAMS
            .into_iter()
            .find(|program| Path::new(program).exists())
            .ok_or_else(|| format!("there is no sqlcmd at {}", PROGRAMS.join(" or ")))?;
        let Place::Tcp(address) = place else { return Err("it has no port".into()) };
        let server = format!("tcp:{},{}", address.ip(), address.port());
        let seconds = budget.as_secs().max(1).to_string();
        let says = |error: std::io::Error| format!("{program}: {error}");
        let (output, writer) = std::io::pipe().map_err(says)?;
        let mut client = Command::new(program)
            .args(["-S", &server, "-U", user, "-C", "-l", &seconds, "-h", "-1", "-W", "-s", "|"])
            .args(["-w", "8000"])
            .env_clear()
            .env("SQLCMDPASSWORD", password)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().map_err(says)?)
            .stderr(writer)
            .spawn()
            .map_err(says)?;
        let input = client.stdin.take().ok_or_else(|| format!("{program}: no input"))?;
        let mut session = Self { client, input, output, said: Vec::new(), count: 0 };
        session.ask("SELECT 1", budget)?;
        Ok(session)
    }

    /// Runs one batch; its rows, values separated by `|`.
    ///
    /// # Errors
    /// What the server or the client said.
    pub fn ask(&mut self, sql: &str, budget: Duration) -> Result<Vec<String>, String> {
        self.count += 1;
        let mark = format!("{MARK} {}", self.count);
        // A batch that fails ends before its last statement: the mark is one of its own.
        let text = format!("SET NOCOUNT ON;\n{sql}\nGO\nPRINT '{mark}'\nGO\n");
        // A client that has ended has said why.
        let _ = self.input.write_all(text.as_bytes()).and_then(|()| self.input.flush());
        let until = Instant::now() + budget;
        loop {
            let text = String::from_utf8_lossy(&self.said).into_owned();
            if let Some(at) = text.find(&mark) {
                self.said.clear();
                return rows(&text[..at]);
            }
            let left = until.saturating_duration_since(Instant::now());
            let ready = sys::poll(&mut [sys::readable(self.output.as_raw_fd())], millis(left)) > 0;
            if !ready || self.said.len() > ANSWER_BYTES_MAX {
                return Err("no answer in time".into());
            }
            let mut bytes = [0; 4_096];
            match self.output.read(&mut bytes) {
                Ok(len) if len > 0 => self.said.extend_from_slice(&bytes[..len]),
                _ => {
                    let word = text.lines().find(|line| !line.trim().is_empty());
                    return Err(word.map_or("sqlcmd has ended".into(), |word| word.trim().into()));
                }
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// The rows of an answer; an error has its number in a line that begins with `Msg`, its
/// words in the next.
///
/// # Errors
/// Those words.
pub fn rows(text: &str) -> Result<Vec<String>, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if let Some(at) = lines.iter().position(|line| line.starts_with("Msg ")) {
        let number = lines[at].split([',', ' ']).nth(1).unwrap_or_default();
        let words = lines.get(at + 1).copied().unwrap_or_default();
        return Err(format!("{words} ({number})"));
    }
    Ok(lines.into_iter().map(str::to_owned).collect())
}
