//! The log: lines on standard error, for the person who reads the command's output.
//! Standard output belongs to the receipt.

use std::io::Write;

/// Writes one line. A closed pipe is no reason to fail.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "stillpoint-agent: {text}");
}
