//! Finds the servers that run in this mount namespace and where they listen, from
//! `/proc` alone: no settings file is trusted, and nobody is connected to.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::apps::link::Place;

/// The kernel's mark of a unix socket that listens.
const UNIX_LISTENS: &str = "00010000";
/// The same of a TCP socket.
const TCP_LISTENS: &str = "0A";

/// One running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its process.
    pub pid: u32,
    /// The operating system's user that it runs as.
    pub uid: u32,
    /// Where it listens: unix sockets first.
    pub places: Vec<Place>,
}

/// Every process of one of these names that listens. In a container its paths mean
/// something else than they do to us: those are not listed.
#[must_use]
pub fn servers(names: &[&str]) -> Vec<Server> {
    let mut found: Vec<Server> = named(names).into_iter().map(server).collect();
    found.retain(|server| !server.places.is_empty());
    let mut seen = BTreeSet::new();
    // A child that has inherited the sockets is not another server.
    found.retain(|server| seen.insert(format!("{:?}", server.places.first())));
    found
}

/// The processes of these names in our mount namespace, oldest id first.
#[must_use]
pub fn named(names: &[&str]) -> Vec<u32> {
    let ours = fs::read_link("/proc/self/ns/mnt").ok();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let process = PathBuf::from(format!("/proc/{pid}"));
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            names.contains(&name.trim_end()) && fs::read_link(process.join("ns/mnt")).ok() == ours
        })
        .collect();
    pids.sort_unstable();
    pids
}

fn server(pid: u32) -> Server {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let inodes = sockets(&process);
    let read = |name: &str| fs::read_to_string(process.join("net").join(name)).unwrap_or_default();
    let unix = unix_listeners(&read("unix"), &inodes).into_iter().map(Place::Unix);
    let tcp = [read("tcp"), read("tcp6")];
    let tcp = tcp.iter().flat_map(|table| tcp_listeners(table, &inodes)).map(Place::Tcp);
    let uid = fs::metadata(&process).map(|meta| meta.uid()).unwrap_or_default();
    Server { pid, uid, places: unix.chain(tcp).collect() }
}

fn sockets(process: &Path) -> BTreeSet<u64> {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return BTreeSet::new() };
    files
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| {
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// The paths of the listening sockets among `inodes`, from the text of `/proc/net/unix`.
#[must_use]
pub fn unix_listeners(table: &str, inodes: &BTreeSet<u64>) -> Vec<PathBuf> {
    let listener = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let inode: u64 = fields.get(6)?.parse().ok()?;
        let at = line.find('/')?;
        (fields.get(3) == Some(&UNIX_LISTENS) && inodes.contains(&inode))
            .then(|| PathBuf::from(&line[at..]))
    };
    let mut paths: Vec<PathBuf> = table.lines().skip(1).filter_map(listener).collect();
    paths.sort();
    paths
}

/// Where the listening sockets among `inodes` can be reached, from the text of
/// `/proc/net/tcp` or `tcp6`.
#[must_use]
pub fn tcp_listeners(table: &str, inodes: &BTreeSet<u64>) -> Vec<SocketAddr> {
    let listener = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let inode: u64 = fields.get(9)?.parse().ok()?;
        if fields.get(3) != Some(&TCP_LISTENS) || !inodes.contains(&inode) {
            return None;
        }
        let (address, port) = fields.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let address = match ip(address)? {
            any if any.is_unspecified() && any.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
            any if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            one => one,
        };
        Some(SocketAddr::new(address, port))
    };
    table.lines().skip(1).filter_map(listener).collect()
}

/// The kernel prints each word of an address as the machine has it in memory.
fn ip(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len() / 8)
        .map(|at| u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [four] => Some(IpAddr::from(*four)),
        [..] if words.len() == 4 => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            let six = Ipv6Addr::from(bytes);
            Some(six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4))
        }
        _ => None,
    }
}
