//! The log: lines on standard error, for the person who reads the command's output.
//! Standard output belongs to the receipt.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

/// Writes one line. A closed pipe is no reason to fail.
pub fn line(text: &str) {
    // In one piece: standard error would write, and wake its reader, for each part.
    let _ = std::io::stderr().write_all(format!("stillpoint-agent: {text}\n").as_bytes());
}

/// Whether lines go to a file, which may lie on a filesystem that is frozen.
#[must_use]
pub fn is_file() -> bool {
    let copy = std::io::stderr().as_fd().try_clone_to_owned().map(File::from);
    copy.and_then(|file| file.metadata()).is_ok_and(|meta| meta.is_file())
}
