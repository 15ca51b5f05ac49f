//! Where a server stands: binary log and GTID, and what it has replicated; the log
//! sequence number of InnoDB where there is no binary log.

use crate::apps::mysql::lock::Vendor;
use crate::apps::mysql::wire::{Failure, Rows};

/// A set of GTIDs can be longer than a receipt; the started copy knows the rest.
const GTID_CHARS_MAX: usize = 200;
const NO_PRIVILEGE: u16 = 1227;

/// Reads the position by asking questions.
pub(super) fn read(
    vendor: Vendor,
    ask: impl FnMut(&str) -> Result<Rows, Failure>,
) -> Result<String, Failure> {
    if vendor == Vendor::MariaDb { mariadb(ask) } else { mysql(ask) }
}

fn mariadb(mut ask: impl FnMut(&str) -> Result<Rows, Failure>) -> Result<String, Failure> {
    let rows = ask("SELECT @@log_bin, @@gtid_binlog_pos, @@gtid_slave_pos")?;
    let [log, gtid, replicated] = first(&rows);
    if log == "0" {
        let rows = ask("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                        WHERE VARIABLE_NAME = 'Innodb_lsn_current'")?;
        let [lsn] = first(&rows);
        return Ok(words([("lsn", lsn), ("replica gtid", replicated)]));
    }
    // Who may not ask for the file still knows the GTID, which says more.
    let file = match ask("SHOW MASTER STATUS") {
        Err(Failure::Server(NO_PRIVILEGE, _)) => String::new(),
        other => {
            let rows = other?;
            let [file, offset] = first(&rows);
            format!("{file}:{offset}")
        }
    };
    Ok(words([("", &file), ("gtid", gtid), ("replica gtid", replicated)]))
}

fn mysql(mut ask: impl FnMut(&str) -> Result<Rows, Failure>) -> Result<String, Failure> {
    let rows =
        ask("SELECT LOCAL, STORAGE_ENGINES, REPLICATION FROM performance_schema.log_status")?;
    let [local, engines, replication] =
        first(&rows).map(|text| serde_json::from_str(text).unwrap_or(serde_json::Value::Null));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let file = text(&local["binary_log_file"]);
    let file =
        if file.is_empty() { file } else { format!("{file}:{}", local["binary_log_position"]) };
    let lsn = engines["InnoDB"]["LSN"].to_string();
    let channels = replication["channels"].as_array().cloned().unwrap_or_default();
    let relay: Vec<String> = channels
        .iter()
        .map(|one| format!("{}:{}", text(&one["relay_log_file"]), one["relay_log_position"]))
        .collect();
    let gtid = text(&local["gtid_executed"]);
    Ok(words([("", &file), ("gtid", &gtid), ("lsn", &lsn), ("relay log", &relay.join(","))]))
}

/// The first columns of the first row, empty where there is none.
fn first<const N: usize>(rows: &Rows) -> [&str; N] {
    let row = rows.first().map(Vec::as_slice).unwrap_or_default();
    std::array::from_fn(|at| row.get(at).and_then(Option::as_deref).unwrap_or_default())
}

fn words<const N: usize>(parts: [(&str, &str); N]) -> String {
    let part = |(name, value): (&str, &str)| {
        let value: String = value.split_whitespace().collect();
        let cut = value.chars().count() > GTID_CHARS_MAX;
        let value: String = value.chars().take(GTID_CHARS_MAX).collect();
        let value = if cut { format!("{value}...") } else { value };
        (!value.is_empty()).then(|| format!("{name} {value}").trim_start().to_owned())
    };
    let words: Vec<String> = parts.into_iter().filter_map(part).collect();
    words.join(" ")
}
