//! How much data waits to be written: on the whole machine, and on each device where the kernel
//! tells. Reads what the kernel counts, and looks at no file.

use crate::mountinfo::Dev;
use crate::sys;

/// For each device a folder, where debugfs is mounted, as systemd does.
const DEVICES: &str = "/sys/kernel/debug/bdi";
const NUMBERS: &str = "/sys/dev/block";

/// What waits on the whole machine, in bytes; an upper bound for every filesystem of it.
#[must_use]
pub fn of_machine() -> u64 {
    let text = sys::read_told("/proc/meminfo").unwrap_or_default();
    kilobytes(&text, &["Dirty", "Writeback"]).unwrap_or(0) * 1_024
}

/// What waits on each of these devices, in bytes; none where it cannot be told of one of them.
///
/// Linux 6.10 was the first to count what all control groups have written; the older count of the
/// root group alone, which has another name, would miss a database.
#[must_use]
pub fn of_devices(devs: &[Dev]) -> Option<Vec<u64>> {
    devs.iter().map(|dev| of_device(&dev.to_string())).collect()
}

fn of_device(dev: &str) -> Option<u64> {
    let counted = |dev: &str| sys::read_told(format!("{DEVICES}/{dev}/wb_stats")).ok();
    // What is written to a partition waits with its disk.
    let disk = || sys::read_told(format!("{NUMBERS}/{dev}/../dev")).ok();
    let text = counted(dev).or_else(|| counted(disk()?.trim()))?;
    kilobytes(&text, &["WbReclaimable", "WbWriteback"]).map(|found| found * 1_024)
}

/// The sum of all lines `name: number kB`; none when there is no such line.
#[must_use]
pub fn kilobytes(text: &str, names: &[&str]) -> Option<u64> {
    let value = |line: &str| -> Option<u64> {
        let (name, rest) = line.split_once(':')?;
        let number = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        names.contains(&name).then_some(number)
    };
    text.lines().filter_map(value).reduce(u64::saturating_add)
}
