//! CreateRule without its scripts: when and where, by cron expression or by interval.

use crate::cron::Cron;
use crate::json::quoted;
use crate::policy::CreateRule;
use crate::reader::{At, Object};
use crate::report::Report;

const INTERVALS_HOURS: [u16; 8] = [1, 2, 3, 4, 6, 8, 12, 24];
const INTERVAL_FIELDS: [&str; 3] = ["Interval", "IntervalUnit", "Times"];

pub(super) fn read(rule: &Object<'_>, report: &mut Report) -> Option<CreateRule> {
    if let Some(field) = rule.get("Location") {
        let places = [("CLOUD", true), ("OUTPOST_LOCAL", false), ("LOCAL_ZONE", false)];
        if field.one_of(report, &places) == Some(false) {
            field.refuse(
                report,
                "CLOUD (sets are made in the Region only; leave resources on Outposts and in Local \
                 Zones to DLM)",
            );
        }
    }
    let by_interval = INTERVAL_FIELDS.iter().any(|name| rule.get(name).is_some());
    match rule.get("CronExpression") {
        Some(field) => {
            for name in INTERVAL_FIELDS {
                rule.absent(report, name, "CronExpression stands in its place");
            }
            cron(&field, report)
        }
        None if by_interval => interval(rule, report),
        None => {
            rule.need(report, "CronExpression", "it, or Interval, IntervalUnit and Times");
            None
        }
    }
}

fn cron(field: &At<'_>, report: &mut Report) -> Option<CreateRule> {
    match Cron::parse(field.text(report)?) {
        Ok(cron) => Some(CreateRule::Cron(cron)),
        Err(errors) => {
            for error in errors {
                let found = format!("{} {}", error.field, quoted(&error.found));
                report.add(field.path.clone(), found, error.allowed);
            }
            None
        }
    }
}

fn interval(rule: &Object<'_>, report: &mut Report) -> Option<CreateRule> {
    let every_hours = rule.need(report, "Interval", "1, 2, 3, 4, 6, 8, 12 or 24 (hours)");
    let every_hours = every_hours.and_then(|field| {
        let hours = INTERVALS_HOURS.into_iter().find(|hours| field.is_whole(u32::from(*hours)));
        if hours.is_none() {
            field.refuse(report, "1, 2, 3, 4, 6, 8, 12 or 24 (hours)");
        }
        hours
    });
    if let Some(field) = rule.need(report, "IntervalUnit", "HOURS") {
        field.one_of(report, &[("HOURS", ())]);
    }
    let times = rule.get("Times").map(|field| field.list(report, 0..=1)).unwrap_or_default();
    let time_given = !times.is_empty();
    let (hour, minute) = match times.first() {
        Some(entry) => time(entry, report)?,
        None => (0, 0),
    };
    let every_hours = every_hours?;
    let cron = Cron::every(every_hours, hour, minute);
    Some(CreateRule::Interval { every_hours: u32::from(every_hours), time_given, cron })
}

fn time(entry: &At<'_>, report: &mut Report) -> Option<(u16, u16)> {
    let text = entry.text(report)?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u16>().ok() } else { None }
    };
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)));
    let valid = parts.filter(|(hour, minute)| *hour < 24 && *minute < 60);
    if valid.is_none() {
        entry.refuse(report, "a UTC time from 00:00 to 23:59, as hh:mm");
    }
    valid
}
