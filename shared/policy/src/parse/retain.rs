//! RetainRule, and the interval with its unit that every rule of a schedule counts in.

use crate::policy::Schedule;
use crate::reader::{At, Object};
use crate::report::Report;
use crate::rules::{Age, Retain, RetainUnit};

/// DLM's limit, of RetainRule and of FastRestoreRule.
const MAX_COUNT: u32 = 1000;
/// DLM keeps a snapshot for at most a hundred years, in each of its units.
const UNITS: [(&str, (RetainUnit, u32)); 4] = [
    ("DAYS", (RetainUnit::Days, 36_500)),
    ("WEEKS", (RetainUnit::Weeks, 5_200)),
    ("MONTHS", (RetainUnit::Months, 1_200)),
    ("YEARS", (RetainUnit::Years, 100)),
];

pub(super) fn read(field: &At<'_>, report: &mut Report) -> Option<Retain> {
    let rule = field.object(report, &["Count", "Interval", "IntervalUnit"])?;
    // Zero is DLM's way to archive at once, and only volume policies archive.
    count_or_age(field, &rule, "(snapshots)", report)
}

/// Count, or Interval and IntervalUnit; `note` says what is counted.
pub(super) fn count_or_age(
    field: &At<'_>,
    rule: &Object<'_>,
    note: &str,
    report: &mut Report,
) -> Option<Retain> {
    if let Some(count) = rule.get("Count") {
        for name in ["Interval", "IntervalUnit"] {
            rule.absent(report, name, "Count stands in its place");
        }
        return count.whole(report, 1..=MAX_COUNT, note).map(Retain::Count);
    }
    if rule.get("Interval").is_none() && rule.get("IntervalUnit").is_none() {
        field.refuse(report, "Count, or Interval and IntervalUnit");
        return None;
    }
    age(rule, ["Interval", "IntervalUnit"], report).map(Retain::Age)
}

/// An interval and its unit, which have different names in different rules.
pub(super) fn age(
    rule: &Object<'_>,
    [interval, unit]: [&str; 2],
    report: &mut Report,
) -> Option<Age> {
    let read = rule
        .need(report, unit, "DAYS or WEEKS or MONTHS or YEARS")
        .and_then(|unit| unit.one_of(report, &UNITS));
    let interval = rule.need(report, interval, &format!("a whole number of {unit}"))?;
    let (most, note) = match read {
        Some((_, most)) => (most, "(100 years)".to_owned()),
        None => (u32::MAX, format!("(of {unit})")),
    };
    let interval = interval.whole(report, 1..=most, &note)?;
    read.map(|(unit, _)| Age { interval, unit })
}

/// Whether one age is shorter than another whatever the months are long: each unit is taken for
/// as many days as it can have at least or at most.
pub(super) fn certainly_shorter(one: Age, other: Age) -> bool {
    if one.unit == other.unit {
        return one.interval < other.interval;
    }
    days(one).1 < days(other).0
}

/// The fewest and the most days that an age can be.
fn days(age: Age) -> (u64, u64) {
    let count = u64::from(age.interval);
    match age.unit {
        RetainUnit::Days => (count, count),
        RetainUnit::Weeks => (count * 7, count * 7),
        // Twelve months are at least 365 days, two at least 59, one at least 28.
        RetainUnit::Months => {
            let (years, months) = (count / 12, count % 12);
            (years * 365 + months * 30 - months.min(2), years * 366 + months * 31)
        }
        RetainUnit::Years => (count * 365, count * 366),
    }
}

/// DLM's limits between the rules of one schedule: nothing can be fast to restore or shared for
/// longer than it is there. `paths` are those of FastRestoreRule and the ShareRule.
pub(super) fn check_within(schedule: &Schedule, path: &str, report: &mut Report) {
    if let Some(fast) = &schedule.fast_restore {
        let longer = match (fast.retain, schedule.retain) {
            (Retain::Count(fast), Retain::Count(kept)) => fast > kept,
            (Retain::Age(fast), Retain::Age(kept)) => certainly_shorter(kept, fast),
            _ => false,
        };
        if longer {
            report.add(
                format!("{path}.FastRestoreRule"),
                shown(fast.retain),
                format!("no more than RetainRule, which is {}", shown(schedule.retain)),
            );
        }
    }
    for (index, share) in schedule.shares.iter().enumerate() {
        if let (Some(unshare), Retain::Age(kept)) = (share.unshare_after, schedule.retain)
            && !certainly_shorter(unshare, kept)
        {
            report.add(
                format!("{path}.ShareRules[{index}].UnshareInterval"),
                shown(Retain::Age(unshare)),
                format!("less than RetainRule, which is {}", shown(schedule.retain)),
            );
        }
    }
}

fn shown(retain: Retain) -> String {
    match retain {
        Retain::Count(count) => format!("Count {count}"),
        Retain::Age(age) => format!("{} {}", age.interval, age.unit.name()),
    }
}
