//! The login that MongoDB has had since 4.0, SCRAM-SHA-256. Pure.
//!
//! Source: RFC 5802 and RFC 7677.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The server asks for fifteen thousand; a thousand times as many is meant to stall us.
const ROUNDS_MAX: u32 = 1_000_000;

/// One login.
#[derive(Debug)]
pub struct Scram {
    bare: String,
    nonce: String,
    password: String,
}

impl Scram {
    /// `nonce` is chance, and never the same again.
    #[must_use]
    pub fn new(user: &str, password: &str, nonce: &[u8]) -> Self {
        let nonce = STANDARD.encode(nonce);
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        Self { bare, nonce, password: password.to_owned() }
    }

    /// The first message.
    #[must_use]
    pub fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The answer to the server's first message, and the last message that proves that the
    /// server knows the password as well.
    #[must_use]
    pub fn last(&self, challenge: &str) -> Option<(String, String)> {
        let field = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce))?;
        let salt = STANDARD.decode(field("s=")?).ok()?;
        let rounds: u32 = field("i=")?.parse().ok().filter(|rounds| *rounds <= ROUNDS_MAX)?;
        let salted = stretch(self.password.as_bytes(), &salt, rounds)?;
        let without = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without}", self.bare);
        let key = sign(&salted, b"Client Key")?;
        let signature = sign(&Sha256::digest(key), message.as_bytes())?;
        let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let theirs = sign(&sign(&salted, b"Server Key")?, message.as_bytes())?;
        let answer = format!("{without},p={}", STANDARD.encode(proof));
        Some((answer, format!("v={}", STANDARD.encode(theirs))))
    }
}

fn sign(key: &[u8], message: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(mac.finalize().into_bytes().into())
}

fn stretch(password: &[u8], salt: &[u8], rounds: u32) -> Option<[u8; 32]> {
    let mut block = sign(password, &[salt, &1_u32.to_be_bytes()].concat())?;
    let mut all = block;
    for _ in 1..rounds {
        block = sign(password, &block)?;
        all.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    Some(all)
}
