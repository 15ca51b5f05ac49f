//! Reads the text of `/proc/self/mountinfo`. Pure: takes the bytes, returns the mounts.
//!
//! A line that does not look as the kernel writes it is skipped, never guessed at, and
//! no input makes the parser panic. It does not decide what to freeze; `targets` does.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The device number of a superblock: equal for bind mounts and for the subvolumes of
/// one btrfs, which `stat` does not promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dev {
    /// The major number; zero for filesystems without one device of their own.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl Dev {
    /// Reads `major:minor`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for Dev {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.major, self.minor)
    }
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's own id, to check a descriptor against.
    pub id: u64,
    /// The mount that it is mounted on.
    pub parent: u64,
    /// The superblock's device number.
    pub dev: Dev,
    /// Which part of the filesystem is mounted: `/` for all of it.
    pub root: PathBuf,
    /// The mount point.
    pub point: PathBuf,
    /// The filesystem's type.
    pub fs: String,
    /// What it was mounted from.
    pub source: OsString,
    /// Whether the superblock itself is read-only, whatever this mount is.
    pub read_only: bool,
}

/// All mounts of the text, in its order, which is the order of mounting.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let dev = Dev::parse(std::str::from_utf8(fields.next()?).ok()?)?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let _mount_options = fields.next()?;
    // Any number of optional fields end with a lone dash.
    fields.find(|field| *field == b"-")?;
    let fs = String::from_utf8_lossy(fields.next()?).into_owned();
    let source = unescape(fields.next()?);
    let options = fields.next().unwrap_or_default();
    let read_only = options.split(|&byte| byte == b',').any(|option| option == b"ro");
    let (root, point) = (PathBuf::from(root), PathBuf::from(point));
    Some(Mount { id, parent, dev, root, point, fs, source, read_only })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Undoes the kernel's octal escapes: `\040` is a space, `\012` a newline.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain)
}
