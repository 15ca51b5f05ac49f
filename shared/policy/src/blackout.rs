//! Blackout windows: whether a time lies in one, and when the next one begins.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::settings::{Blackout, Settings};

impl Settings {
    /// The window that a time lies in; its end does not.
    pub fn blackout_at(&self, time: Timestamp) -> Option<&Blackout> {
        let local = self.time_zone.to_datetime(time);
        self.blackouts.iter().find(|window| window.covers(local))
    }

    /// When the first window begins after `from` and before `until`.
    pub fn blackout_between(&self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let day = self.time_zone.to_datetime(from).date();
        let last = self.time_zone.to_datetime(until).date();
        let days: Vec<Date> = day.series(1.day()).take_while(|day| *day <= last).collect();
        let begins = self.blackouts.iter().flat_map(|window| window.begins_on(&days));
        let begins = begins.filter_map(|time| at(&self.time_zone, time));
        begins.filter(|time| *time > from && *time < until).min()
    }
}

impl Blackout {
    fn covers(&self, time: DateTime) -> bool {
        match self {
            Blackout::Between { from, to } => *from <= time && time < *to,
            Blackout::Weekly { days, from, to } => {
                let today = days.contains(&time.date().weekday());
                let yesterday = time.date().yesterday();
                let yesterday = yesterday.is_ok_and(|day| days.contains(&day.weekday()));
                let now = time.time();
                if from < to {
                    today && *from <= now && now < *to
                } else {
                    (today && now >= *from) || (yesterday && now < *to)
                }
            }
        }
    }

    fn begins_on(&self, days: &[Date]) -> Vec<DateTime> {
        match self {
            Blackout::Between { from, .. } => vec![*from],
            Blackout::Weekly { days: weekdays, from, .. } => {
                let named = days.iter().filter(|day| weekdays.contains(&day.weekday()));
                named.map(|day| day.to_datetime(*from)).collect()
            }
        }
    }

    /// As it is said to people.
    pub fn describe(&self) -> String {
        match self {
            Blackout::Between { from, to } => {
                format!("{} to {}", from.strftime("%Y-%m-%dT%H:%M"), to.strftime("%Y-%m-%dT%H:%M"))
            }
            Blackout::Weekly { days, from, to } => {
                let time = format!("{} to {}", from.strftime("%H:%M"), to.strftime("%H:%M"));
                if days.len() == 7 {
                    return format!("daily {time}");
                }
                let days: Vec<String> = days.iter().map(|day| format!("{day:?}")).collect();
                format!("{} {time}", days.join(", "))
            }
        }
    }
}

/// A time that the clock leaps over is the moment of the leap.
fn at(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    zone.to_timestamp(time).ok()
}
