//! The few words that processes of the agent say to each other, all of a fixed size so
//! that a holder can read and answer them while filesystems are frozen.
//!
//! Between holder and client (a socket pair) the client also gets lines of text, before
//! the first freeze only. On the control socket a request is one message and its answer
//! one byte; only root is heard.

/// What the holder says to the client that started it: the first byte of a message.
pub mod to_client {
    /// A line for the log follows.
    pub const LOG: u8 = b'L';
    /// The record follows: once something is frozen, a file may not be to be opened.
    pub const RECORD: u8 = b'R';
    /// Everything is frozen; acknowledge it.
    pub const FROZEN: u8 = b'F';
    /// The acknowledgement came in time: the hold is in place.
    pub const HELD: u8 = b'H';
    /// The hold ended; the page and the record say how.
    pub const ENDED: u8 = b'E';
}

/// What the client says to the holder.
pub const ACKNOWLEDGE: u8 = b'A';

/// The longest line that the holder sends to the client.
pub const LINE_BYTES_MAX: usize = 1_024;

/// The longest message; a record with every filesystem that there can be is shorter.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1_024;

/// What a later call asks of the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The post-script's release, for one execution.
    Release,
    /// An operator's thaw, of one execution or, without an id, whatever it is.
    Thaw,
}

/// The ask and 36 characters of an execution id.
pub const REQUEST_BYTES: usize = 37;

/// A request as bytes.
#[must_use]
pub fn request(ask: Ask, execution_id: &str) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    let (head, tail) = bytes.split_at_mut(1);
    head[0] = match ask {
        Ask::Release => b'R',
        Ask::Thaw => b'T',
    };
    for (slot, byte) in tail.iter_mut().zip(execution_id.bytes()) {
        *slot = byte;
    }
    bytes
}

/// What a request asks of the hold of `execution_id`; `None` when it is none of its.
#[must_use]
pub fn asked(bytes: &[u8], execution_id: &str) -> Option<Ask> {
    match bytes.split_first()? {
        (b'R', id) if id == execution_id.as_bytes() => Some(Ask::Release),
        (b'T', id) if id == execution_id.as_bytes() || id == [0; REQUEST_BYTES - 1] => {
            Some(Ask::Thaw)
        }
        _ => None,
    }
}

/// The holder's answer: the hold has ended, and the record is written.
pub const DONE: u8 = b'D';
/// The holder's answer: this is the hold of another execution.
pub const NOT_YOURS: u8 = b'N';
