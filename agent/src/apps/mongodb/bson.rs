//! Documents as MongoDB sends them: as much of BSON as its commands and answers here need.
//! What is of another type is skipped by its length where it has one.
//!
//! Source: bsonspec.org, version 1.1.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Bson {
    /// A floating-point number.
    Double(f64),
    /// A text.
    Text(String),
    /// A document, or an array whose names are numbers.
    Document(Vec<(String, Bson)>),
    /// Bytes.
    Binary(Vec<u8>),
    /// True or false.
    Bool(bool),
    /// A number of 32 bits.
    Int(i32),
    /// A number of 64 bits.
    Long(i64),
    /// Seconds and a count within the second.
    Timestamp(u32, u32),
    /// Anything else.
    Other,
}

impl Bson {
    /// A member of a document, by its path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Bson> {
        path.split('.').try_fold(self, |here, name| match here {
            Self::Document(members) => {
                members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        })
    }

    /// A text by its path; empty where there is none.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        if let Some(Self::Text(text)) = self.get(path) { text } else { "" }
    }

    /// A number or truth by its path; zero where there is none.
    #[must_use]
    pub fn number(&self, path: &str) -> i64 {
        match self.get(path) {
            Some(Self::Int(number)) => i64::from(*number),
            Some(Self::Long(number)) => *number,
            Some(Self::Bool(truth)) => i64::from(*truth),
            Some(Self::Double(number)) => i64::from(*number >= 1.0),
            _ => 0,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Double(_) => 1,
            Self::Text(_) => 2,
            Self::Document(_) => 3,
            Self::Binary(_) => 5,
            Self::Bool(_) => 8,
            Self::Int(_) => 16,
            Self::Timestamp(..) => 17,
            Self::Long(_) => 18,
            Self::Other => 10,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Text(text) => {
                out.extend_from_slice(&len(text.len() + 1));
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Self::Document(members) => out.extend_from_slice(&document(members)),
            Self::Binary(bytes) => {
                out.extend_from_slice(&len(bytes.len()));
                out.push(0);
                out.extend_from_slice(bytes);
            }
            Self::Bool(truth) => out.push(u8::from(*truth)),
            Self::Int(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Long(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Timestamp(seconds, count) => {
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&seconds.to_le_bytes());
            }
            Self::Other => {}
        }
    }
}

fn len(len: usize) -> [u8; 4] {
    i32::try_from(len).unwrap_or(i32::MAX).to_le_bytes()
}

/// The bytes of a document.
#[must_use]
pub fn document(members: &[(String, Bson)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in members {
        body.push(value.kind());
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        value.write(&mut body);
    }
    body.push(0);
    [&len(body.len() + 4), body.as_slice()].concat()
}

/// How deep documents may lie in each other.
const DEPTH_MAX: usize = 32;

/// Reads one document; `None` for bytes that are none.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Bson> {
    read_document(bytes, DEPTH_MAX).map(|(document, _)| document)
}

fn read_document(bytes: &[u8], depth: usize) -> Option<(Bson, usize)> {
    let depth = depth.checked_sub(1)?;
    let size = usize::try_from(i32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let (&0, body) = bytes.get(4..size)?.split_last()? else { return None };
    let mut rest = body;
    let mut members = Vec::new();
    while let Some((&kind, after)) = rest.split_first() {
        let end = after.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(&after[..end]).into_owned();
        let value = after.get(end + 1..)?;
        let (value, used) = read_value(kind, value, depth)?;
        members.push((name, value));
        rest = after.get(end + 1 + used..)?;
    }
    Some((Bson::Document(members), size))
}

fn read_value(kind: u8, bytes: &[u8], depth: usize) -> Option<(Bson, usize)> {
    let size = || usize::try_from(i32::from_le_bytes(*bytes.first_chunk()?)).ok();
    let value = match kind {
        1 => (Bson::Double(f64::from_le_bytes(*bytes.first_chunk()?)), 8),
        2 => {
            let size = size()?;
            let text = bytes.get(4..4_usize.checked_add(size)?)?.strip_suffix(&[0])?;
            (Bson::Text(String::from_utf8_lossy(text).into_owned()), 4 + size)
        }
        3 | 4 => return read_document(bytes, depth),
        5 => {
            let size = size()?;
            (Bson::Binary(bytes.get(5..5_usize.checked_add(size)?)?.to_vec()), 5 + size)
        }
        8 => (Bson::Bool(*bytes.first()? != 0), 1),
        16 => (Bson::Int(i32::from_le_bytes(*bytes.first_chunk()?)), 4),
        17 => {
            let count = u32::from_le_bytes(*bytes.first_chunk()?);
            let seconds = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
            (Bson::Timestamp(seconds, count), 8)
        }
        18 => (Bson::Long(i64::from_le_bytes(*bytes.first_chunk()?)), 8),
        6 | 10 | 127 | 255 => (Bson::Other, 0),
        7 => (Bson::Other, 12),
        9 => (Bson::Other, 8),
        19 => (Bson::Other, 16),
        13 | 14 => (Bson::Other, 4_usize.checked_add(size()?)?),
        _ => return None,
    };
    (value.1 <= bytes.len()).then_some(value)
}
