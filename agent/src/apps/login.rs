//! Who the agent is to a server: a name, and a password where the server does not trust
//! the operating system's user. The password is in a file that root alone can read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// No password of a person or a machine is longer.
const PASSWORD_BYTES_MAX: u64 = 4_096;

/// The settings of one kind of server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The server's name for us; empty for its usual administrator.
    pub user: String,
    /// Where the password is, if one is needed.
    pub password_file: Option<PathBuf>,
}

impl Login {
    /// The name, or the one that is usual.
    #[must_use]
    pub fn user_or<'a>(&'a self, usual: &'a str) -> &'a str {
        if self.user.is_empty() { usual } else { &self.user }
    }

    /// The operating system's user to connect as: the one of the same name, else root.
    #[must_use]
    pub fn uid(&self, usual: &str) -> u32 {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = self.user_or(usual);
        passwd
            .lines()
            .find_map(|line| {
                let mut fields = line.split(':');
                (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
            })
            .unwrap_or(0)
    }

    /// The password, without the line's end; empty when none is set.
    ///
    /// # Errors
    /// Why the file cannot be trusted or read.
    pub fn password(&self) -> Result<String, String> {
        let Some(path) = &self.password_file else { return Ok(String::new()) };
        let says = |what: String| format!("password file {}: {what}", path.display());
        let meta = fs::metadata(path).map_err(|error| says(error.to_string()))?;
        let mode = meta.mode() & 0o7777;
        if meta.uid() != 0 || mode & 0o077 != 0 {
            let uid = meta.uid();
            return Err(says(format!(
                "it belongs to user {uid} with mode {mode:04o}; only root may read it, as 0600"
            )));
        }
        if meta.len() > PASSWORD_BYTES_MAX {
            return Err(says(format!("it has {} bytes", meta.len())));
        }
        let text = fs::read_to_string(path).map_err(|error| says(error.to_string()))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}
