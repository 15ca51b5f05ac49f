//! What the deployed policies ask of EC2, against what EC2 grants an account and Region.

use std::collections::BTreeMap;

use stillpoint_budget::CREATE_SNAPSHOTS;
use stillpoint_budget::fleet::{Peak, SNAPSHOTS_PER_REGION, UNFINISHED_PER_VOLUME, peaks};
use stillpoint_upkeep::reaper::DELETIONS_A_DAY;

use super::finding::Finding;
use super::load::Load;

const RATES: &str =
    "AWS's figures: EC2 Developer Guide, Request throttling; Service Quotas has the Region's own";
const QUOTAS: &str =
    "AWS's figures: Amazon EBS endpoints and quotas; Service Quotas has the Region's own";

/// `unfinished` are the snapshots of each volume that EC2 still works on, or failed to make, if that
/// is known.
pub(super) fn judge(load: &Load, unfinished: Option<&BTreeMap<String, u64>>) -> Vec<Finding> {
    let peaks = peaks(&load.firings, CREATE_SNAPSHOTS);
    // Of equal ones the next: the last of them is the maximum.
    let asked = |peak: &&Peak| (!peak.fits(), peak.last_begins_ms, peak.runs);
    let Some(highest) = peaks.iter().rev().max_by_key(asked) else { return vec![] };
    let mut found = vec![begins(highest)];
    found.extend(peaks.iter().find(|peak| !peak.shared.is_empty()).map(shared));
    found.extend(unfinished.map(in_flight));
    found.push(kept(load.kept));
    found.push(deleted(load.a_day));
    found
}

fn begins(peak: &Peak) -> Finding {
    let subject = "quota CreateSnapshots";
    let policies: Vec<&str> = peak.policies.iter().map(String::as_str).collect();
    let text = format!(
        "{} run(s) at {} ({}): EC2 grants {} at once and {} a second, so that the last begins after {} s \
         of its {} min",
        peak.runs,
        peak.at,
        policies.join(", "),
        CREATE_SNAPSHOTS.burst,
        CREATE_SNAPSHOTS.rate_milli / 1_000,
        peak.last_begins_ms.div_ceil(1_000),
        peak.window_ms / 60_000
    );
    if peak.fits() {
        return Finding::good(subject, text);
    }
    let text = format!("{text}; what has not begun by then fails");
    let remedy = format!(
        "spread the targets over policies of several times, or lengthen StartWithinMinutes \
         (docs/POLICIES.md). {RATES}"
    );
    Finding::warn(subject, text, remedy)
}

fn shared(peak: &Peak) -> Finding {
    let more = match peak.shared.len() {
        0 | 1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let first = peak.shared.first().map(String::as_str).unwrap_or_default();
    let policies: Vec<&str> = peak.policies.iter().map(String::as_str).collect();
    let text = format!(
        "{first}{more} is in the sets of several policies at {} ({}): EC2 takes one snapshot of a volume \
         in 15 s",
        peak.at,
        policies.join(", ")
    );
    let remedy =
        "let them fire minutes apart, or make them schedules of one policy, which share a set";
    Finding::warn("quota snapshots of a volume", text, format!("{remedy}. {QUOTAS}"))
}

fn in_flight(unfinished: &BTreeMap<String, u64>) -> Finding {
    let subject = "quota unfinished snapshots";
    let most = unfinished.iter().max_by_key(|(_, count)| **count);
    match most {
        Some((volume_id, count)) if *count >= UNFINISHED_PER_VOLUME => Finding::warn(
            subject,
            format!(
                "{volume_id} has {count} that are pending or in error: EC2 refuses the next one beyond \
                 {UNFINISHED_PER_VOLUME}"
            ),
            format!("wait until they are completed, and delete those in error. {QUOTAS}"),
        ),
        _ => {
            let count = most.map_or(0, |(_, count)| *count);
            let text =
                format!("at most {count} of {UNFINISHED_PER_VOLUME} of one volume (1 of st1, sc1)");
            Finding::good(subject, text)
        }
    }
}

fn kept(count: f64) -> Finding {
    let subject = "quota snapshots";
    let text = format!(
        "about {count:.0} are kept once the policies are full; a Region holds {SNAPSHOTS_PER_REGION}"
    );
    if count <= number(SNAPSHOTS_PER_REGION) {
        return Finding::good(subject, text);
    }
    let remedy =
        format!("have the quota Snapshots per Region raised, or keep fewer sets. {QUOTAS}");
    Finding::warn(subject, text, remedy)
}

fn deleted(a_day: f64) -> Finding {
    let subject = "quota DeleteSnapshot";
    let text = format!(
        "about {a_day:.0} a day once the policies are full; the reaper, below EC2's 5 a second, deletes \
         {DELETIONS_A_DAY}"
    );
    if a_day <= number(DELETIONS_A_DAY) {
        return Finding::good(subject, text);
    }
    let remedy =
        format!("snapshots pile up: fire less often, or use another account or Region. {RATES}");
    Finding::warn(subject, text, remedy)
}

/// Quotas are whole and far below what a float counts exactly.
fn number(whole: u64) -> f64 {
    u32::try_from(whole).map_or(f64::INFINITY, f64::from)
}
