//! What a client answers to the login plugins of MySQL and MariaDB. Pure.
//!
//! Source: the plugins' descriptions in the MySQL and MariaDB manuals.

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The server had the password's digest at hand, and is content.
pub(super) const CACHED: u8 = 3;
/// It wants the password itself.
pub(super) const FULL: u8 = 4;
const NONCE_BYTES: usize = 20;

/// The answer to a plugin; `None` for one that is not spoken here.
pub(super) fn answer(plugin: &str, password: &str, nonce: &[u8]) -> Option<Vec<u8>> {
    let nonce = nonce.get(..NONCE_BYTES).unwrap_or(nonce);
    match plugin {
        // The kernel has told the server who we are.
        "unix_socket" | "auth_socket" => Some(Vec::new()),
        "mysql_native_password" | "caching_sha2_password" if password.is_empty() => {
            Some(Vec::new())
        }
        "mysql_native_password" => {
            let once = Sha1::digest(password);
            let twice = Sha1::digest(once);
            let mask = Sha1::new().chain_update(nonce).chain_update(twice).finalize();
            Some(exclusive_or(&once, &mask))
        }
        "caching_sha2_password" => {
            let once = Sha256::digest(password);
            let twice = Sha256::digest(once);
            let mask = Sha256::new().chain_update(twice).chain_update(nonce).finalize();
            Some(exclusive_or(&once, &mask))
        }
        _ => None,
    }
}

fn exclusive_or(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(a, b)| a ^ b).collect()
}
