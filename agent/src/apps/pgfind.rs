//! Finds the PostgreSQL clusters that run in this mount namespace: every process of a
//! cluster works in its data directory, where `postmaster.pid` tells the rest.
//!
//! Reads `/proc` and that one file, without touching its access time; connects nowhere.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// One running cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its data directory.
    pub data: PathBuf,
    /// The socket that it listens on.
    pub socket: PathBuf,
    /// The operating system's user that owns it.
    pub uid: u32,
    /// The name of that user, which is the name of its first superuser too.
    pub user: String,
}

/// Every cluster that runs here.
///
/// # Errors
/// A cluster that runs but cannot be reached, and why.
pub fn clusters() -> Result<Vec<Cluster>, String> {
    data_directories().into_iter().map(cluster).collect()
}

fn data_directories() -> BTreeSet<PathBuf> {
    let ours = fs::read_link("/proc/self/ns/mnt").ok();
    let Ok(processes) = fs::read_dir("/proc") else { return BTreeSet::new() };
    processes
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|process| {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            matches!(name.trim(), "postgres" | "postmaster")
                // In a container its paths mean something else than they do to us.
                && fs::read_link(process.join("ns/mnt")).ok() == ours
        })
        .filter_map(|process| fs::read_link(process.join("cwd")).ok())
        .filter(|folder| folder.join("postmaster.pid").exists())
        .collect()
}

fn cluster(data: PathBuf) -> Result<Cluster, String> {
    let name = data.display().to_string();
    let text = read_quietly(&data.join("postmaster.pid"))
        .map_err(|error| format!("{name}/postmaster.pid: {error}"))?;
    let socket = socket(&text).ok_or_else(|| {
        format!("the cluster in {name} has no unix socket, or is still starting or stopping")
    })?;
    let uid = fs::metadata(&data).map_err(|error| format!("{name}: {error}"))?.uid();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user_name(&passwd, uid)
        .ok_or_else(|| format!("{name} belongs to user {uid}, who has no name"))?;
    Ok(Cluster { data, socket, uid, user })
}

fn read_quietly(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOATIME)
        .open(path)?
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The socket's path from a `postmaster.pid`: port in its fourth line, folder in its
/// fifth, and in its eighth whether the server takes connections.
#[must_use]
pub fn socket(postmaster_pid: &str) -> Option<PathBuf> {
    let mut lines = postmaster_pid.lines().skip(3).map(str::trim);
    let port: u16 = lines.next()?.parse().ok()?;
    let folder = lines.next().filter(|folder| folder.starts_with('/'))?;
    let status = lines.nth(2)?;
    matches!(status, "ready" | "standby")
        .then(|| Path::new(folder).join(format!(".s.PGSQL.{port}")))
}

/// The name of a user in the text of `/etc/passwd`.
#[must_use]
pub fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == uid).then(|| name.to_owned())
    })
}
