//! Which statements hold a server, by vendor, version and what it stores. Pure.
//!
//! | server | before the flush | right before the freeze |
//! |---|---|---|
//! | MariaDB 10.4 and newer | BACKUP STAGE START, FLUSH, BLOCK_DDL | BACKUP STAGE BLOCK_COMMIT |
//! | MySQL 8, only transactional tables | LOCK INSTANCE FOR BACKUP | |
//! | Percona Server 8, other tables | LOCK INSTANCE FOR BACKUP | LOCK TABLES FOR BACKUP |
//! | MySQL 8, other tables | LOCK INSTANCE FOR BACKUP | FLUSH TABLES WITH READ LOCK |
//!
//! The consistent cut of transactional tables is the freeze itself; what is locked is what
//! the freeze alone would tear: definitions, and tables without a log. MariaDB's stages hold
//! commits as well, for nearly nothing, so that the position is exact.

/// Who made a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// MariaDB Server.
    MariaDb,
    /// Oracle's MySQL and what is built like it.
    MySql,
    /// Percona Server.
    Percona,
}

/// A way to hold a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// What may take a while, and stalls no transaction.
    pub prepare: &'static [&'static str],
    /// What writers wait for.
    pub lock: &'static [&'static str],
    /// What ends it; the first proves that it was held.
    pub release: &'static [&'static str],
    /// Fails for the lack of a right, and else says that nothing is held: asked beforehand.
    pub probe: &'static str,
    /// Whether no transaction commits while it is held, so that the position is exact.
    pub is_exact: bool,
    /// Whether the lock waits behind running queries, and everybody else behind the lock.
    pub waits_for_queries: bool,
}

const STAGES: Way = Way {
    prepare: &["BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL"],
    lock: &["BACKUP STAGE BLOCK_COMMIT"],
    release: &["BACKUP STAGE END"],
    probe: "BACKUP STAGE END",
    is_exact: true,
    waits_for_queries: false,
};
const INSTANCE: Way = Way {
    prepare: &["LOCK INSTANCE FOR BACKUP"],
    lock: &[],
    release: &["UNLOCK INSTANCE"],
    probe: "UNLOCK INSTANCE",
    is_exact: false,
    waits_for_queries: false,
};
const PERCONA_TABLES: Way = Way {
    lock: &["LOCK TABLES FOR BACKUP"],
    release: &["UNLOCK TABLES", "UNLOCK INSTANCE"],
    ..INSTANCE
};
const ALL_TABLES: Way = Way {
    lock: &["FLUSH TABLES WITH READ LOCK"],
    release: &["UNLOCK TABLES", "UNLOCK INSTANCE"],
    is_exact: true,
    waits_for_queries: true,
    ..INSTANCE
};

/// The vendor, from `@@version` and `@@version_comment`.
#[must_use]
pub fn vendor(version: &str, comment: &str) -> Vendor {
    if version.to_ascii_lowercase().contains("mariadb") {
        Vendor::MariaDb
    } else if comment.to_ascii_lowercase().contains("percona") {
        Vendor::Percona
    } else {
        Vendor::MySql
    }
}

/// Major and minor number of a version such as `10.11.19-MariaDB-log`.
#[must_use]
pub fn number(version: &str) -> (u32, u32) {
    let digits = version.split(|letter: char| !letter.is_ascii_digit());
    let mut parts = digits.map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// How a server is held; `others` says whether it has tables without a log.
///
/// # Errors
/// The versions that can be held.
pub fn way(vendor: Vendor, version: (u32, u32), others: bool) -> Result<Way, String> {
    let (major, minor) = version;
    match vendor {
        Vendor::MariaDb if version >= (10, 4) => Ok(STAGES),
        Vendor::MariaDb => Err(format!("MariaDB {major}.{minor}, 10.4 or newer is needed")),
        _ if major < 8 => Err(format!("MySQL {major}.{minor}, 8.0 or newer is needed")),
        Vendor::MySql if others => Ok(ALL_TABLES),
        Vendor::Percona if others => Ok(PERCONA_TABLES),
        _ => Ok(INSTANCE),
    }
}
