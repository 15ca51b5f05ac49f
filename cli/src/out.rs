//! The one place that writes: text for people, with colour only where a terminal shows it, or
//! JSON for programs.

use std::io::Write;

use console::{Style, Term};
use serde::Serialize;

use crate::Failure;

/// How output looks, and where errors go.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// JSON instead of text.
    pub json: bool,
    /// Colours.
    pub paint: Paint,
    /// The columns of the terminal; none where the output goes to a file or a program, which
    /// get every line whole.
    pub width: Option<usize>,
}

impl Out {
    /// As standard output is: colour and width only of a terminal. `NO_COLOR` and
    /// `CLICOLOR_FORCE` are heeded.
    #[must_use]
    pub fn of_the_terminal(json: bool) -> Self {
        let term = Term::stdout();
        let width = term.is_term().then(|| usize::from(term.size().1));
        Self { json, paint: Paint(console::colors_enabled()), width }
    }

    /// Prints text, which ends with a line break.
    ///
    /// # Errors
    /// When it cannot be written. A reader that has seen enough (`| head`) is no error.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Prints one JSON value.
    ///
    /// # Errors
    /// As [`Out::print`].
    pub fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
        self.print(&(text + "\n"))
    }

    /// Says something beside the output, on standard error.
    pub(crate) fn note(&self, text: &str) {
        drop(writeln!(std::io::stderr().lock(), "{text}"));
    }

    /// Writes the lines of a failure to standard error, one a thing that is wrong.
    pub(crate) fn failure(&self, failure: &Failure) {
        let mut stderr = std::io::stderr().lock();
        for line in failure.lines() {
            // Nobody is left to be told when even this cannot be written.
            drop(writeln!(stderr, "stillpoint: {line}"));
        }
    }
}

/// Colours with a meaning, or none at all.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    /// What a section is called, and ids that one looks for.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What is there for completeness.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }

    /// As it should be.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.with(Style::new().green(), text)
    }

    /// Somebody should look, by day.
    #[must_use]
    pub fn warn(self, text: &str) -> String {
        self.with(Style::new().yellow(), text)
    }

    /// Somebody should look now.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.with(Style::new().red().bold(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        style.force_styling(self.0).apply_to(text).to_string()
    }
}
