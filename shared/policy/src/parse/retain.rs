//! RetainRule: by count or by age. Carried for whoever deletes; nothing here does.

use crate::policy::{Retain, RetainUnit};
use crate::reader::At;
use crate::report::Report;

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
    if let Some(count) = rule.get("Count") {
        for name in ["Interval", "IntervalUnit"] {
            rule.absent(report, name, "Count stands in its place");
        }
        // Zero is DLM's way to archive at once, and only volume policies archive.
        return count.whole(report, 1..=MAX_COUNT, "(snapshots)").map(Retain::Count);
    }
    if rule.get("Interval").is_none() && rule.get("IntervalUnit").is_none() {
        field.refuse(report, "Count, or Interval and IntervalUnit");
        return None;
    }
    let unit = rule
        .need(report, "IntervalUnit", "DAYS or WEEKS or MONTHS or YEARS")
        .and_then(|unit| unit.one_of(report, &UNITS));
    let interval = rule.need(report, "Interval", "a whole number of IntervalUnit")?;
    let (most, note) = match unit {
        Some((_, most)) => (most, "(100 years)"),
        None => (u32::MAX, "(of IntervalUnit)"),
    };
    let interval = interval.whole(report, 1..=most, note)?;
    unit.map(|(unit, _)| Retain::Age { interval, unit })
}
