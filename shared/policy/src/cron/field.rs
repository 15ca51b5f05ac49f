//! One field of a cron expression as a set of numbers: lists, ranges, steps and names.
//!
//! What only the day fields have (`?`, `L`, `W`, `#`) is read in `days`.

use std::collections::BTreeSet;

use super::CronError;

/// What a field may hold.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: u16,
    pub(super) max: u16,
    /// Names of the values from `min` on.
    pub(super) names: &'static [&'static str],
    pub(super) allowed: &'static str,
    /// `22-2` is understood as over midnight; years have no such end to go round.
    pub(super) wraps: bool,
}

pub(super) const MINUTE: Field = Field {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
    allowed: "0 to 59 with , - * /",
    wraps: true,
};
pub(super) const HOUR: Field = Field {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
    allowed: "0 to 23 with , - * /",
    wraps: true,
};
pub(super) const DAY_OF_MONTH: Field = Field {
    name: "day-of-month",
    min: 1,
    max: 31,
    names: &[],
    allowed: "1 to 31 with , - * /, or one of ?, L, LW, 15W",
    wraps: true,
};
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    allowed: "1 to 12 or JAN to DEC with , - * /",
    wraps: true,
};
pub(super) const DAY_OF_WEEK: Field = Field {
    name: "day-of-week",
    min: 1,
    max: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    allowed: "1 to 7 or SUN to SAT (1 is SUN) with , - * /, or one of ?, L, 6L, 6#3",
    wraps: true,
};
pub(super) const YEAR: Field = Field {
    name: "year",
    min: 1970,
    max: 2199,
    names: &[],
    allowed: "1970 to 2199 with , - * /",
    wraps: false,
};

impl Field {
    pub(super) fn all(&self) -> BTreeSet<u16> {
        (self.min..=self.max).collect()
    }

    pub(super) fn refuse(&self, found: &str) -> CronError {
        CronError { field: self.name, found: found.into(), allowed: self.allowed.into() }
    }

    /// A number or a name.
    pub(super) fn value(&self, text: &str) -> Option<u16> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if let Some(index) = named {
            return u16::try_from(index).ok().map(|index| self.min + index);
        }
        // `parse` alone would take a leading plus sign.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().filter(|value| (self.min..=self.max).contains(value))
    }
}

/// Reads a field that is made of values, ranges and steps.
pub(super) fn values(field: &Field, text: &str) -> Result<BTreeSet<u16>, CronError> {
    let mut set = BTreeSet::new();
    for part in text.split(',') {
        // A star in a list would make the rest of it meaningless.
        let alone = part == text;
        let members = members(field, part, alone).ok_or_else(|| field.refuse(text))?;
        set.extend(members);
    }
    Ok(set)
}

fn members(field: &Field, part: &str, star: bool) -> Option<BTreeSet<u16>> {
    let (span, step) = match part.split_once('/') {
        Some((span, step)) => (span, Some(step)),
        None => (part, None),
    };
    let (first, last) = if span == "*" {
        if !star {
            return None;
        }
        (field.min, field.max)
    } else if let Some((first, last)) = span.split_once('-') {
        (field.value(first)?, field.value(last)?)
    } else {
        let first = field.value(span)?;
        // `5/15` goes on to the end of the field, `5` alone does not.
        (first, if step.is_some() { field.max } else { first })
    };
    let step = match step {
        Some(step) => step_of(field, step)?,
        None => 1,
    };
    let size = field.max - field.min + 1;
    let length = if last >= first {
        last - first
    } else if field.wraps {
        last + size - first
    } else {
        return None;
    };
    let member = |offset| field.min + (first - field.min + offset) % size;
    Some((0..=length).step_by(usize::from(step)).map(member).collect())
}

/// A step longer than the field would be a plain value in disguise.
fn step_of(field: &Field, text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let longest = if field.min == 0 { field.max } else { field.max - field.min + 1 };
    text.parse().ok().filter(|step| (1..=longest).contains(step))
}
