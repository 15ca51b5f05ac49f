//! What `INFO` says of a server, as far as it matters here. Pure.

use std::collections::BTreeMap;

/// The fields of `INFO`.
#[derive(Clone, Debug, Default)]
pub(super) struct Info(BTreeMap<String, String>);

impl Info {
    pub(super) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.number(name) != 0
    }

    /// Valkey says which Redis it is like as well.
    pub(super) fn version(&self) -> &str {
        let valkey = self.text("valkey_version");
        if valkey.is_empty() { self.text("redis_version") } else { valkey }
    }

    pub(super) fn is_valkey(&self) -> bool {
        !self.text("valkey_version").is_empty()
    }

    pub(super) fn is_primary(&self) -> bool {
        self.text("role") == "master"
    }

    /// Whether writes can be paused alone: since 6.2.
    pub(super) fn can_pause_writes(&self) -> bool {
        let mut parts = self.version().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        (major, minor) >= (6, 2)
    }

    /// Why the server is not ready, if it is not.
    pub(super) fn not_ready(&self) -> Option<String> {
        let bad = |name: &str| self.text(name) == "err";
        let version = self.version();
        if self.is_on("loading") {
            Some("it is still loading its data".into())
        } else if !self.can_pause_writes() {
            Some(format!("version {version}, 6.2 or newer is needed"))
        } else if self.is_on("aof_enabled") && bad("aof_last_write_status") {
            Some("its last write to the append-only file has failed".into())
        } else if !self.is_on("aof_enabled") && bad("rdb_last_bgsave_status") {
            Some("its last save has failed".into())
        } else {
            None
        }
    }
}
