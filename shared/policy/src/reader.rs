//! Reading a JSON tree with the path carried along: every refusal knows where it stands.
//!
//! Each reading method reports what is wrong and answers `None`; the caller goes on with the
//! next field, so that one pass finds everything. It knows JSON and ranges, not policies.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::json::{Json, quoted};
use crate::report::Report;

/// One value and its place in the document.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    pub(crate) json: &'a Json,
    pub(crate) path: String,
}

/// An object whose field names have been checked.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    entries: &'a [(String, Json)],
    path: String,
}

impl<'a> At<'a> {
    pub(crate) fn refuse(&self, report: &mut Report, allowed: impl Into<String>) {
        report.add(self.path.clone(), self.json.shown(), allowed);
    }

    /// Opens an object; a field that is unknown or written twice is reported here.
    pub(crate) fn object(&self, report: &mut Report, known: &[&str]) -> Option<Object<'a>> {
        let Json::Object(entries) = self.json else {
            self.refuse(report, "an object");
            return None;
        };
        let mut seen = BTreeSet::new();
        for (name, _) in entries {
            if !seen.insert(name.as_str()) {
                report.add(joined(&self.path, name), "the same field twice", "it once");
            } else if !known.contains(&name.as_str()) {
                report.add(joined(&self.path, name), "an unknown field", known.join(", "));
            }
        }
        Some(Object { entries, path: self.path.clone() })
    }

    /// The entries of a list. One that is too long is reported, and its first entries are still
    /// read, so that the other mistakes in it show as well.
    pub(crate) fn list(&self, report: &mut Report, length: RangeInclusive<usize>) -> Vec<At<'a>> {
        let (min, max) = (*length.start(), *length.end());
        let Json::List(items) = self.json else {
            self.refuse(report, format!("a list of {}", entries_text(min, max)));
            return Vec::new();
        };
        if !length.contains(&items.len()) {
            self.refuse(report, entries_text(min, max));
        }
        let place = |(index, json)| At { json, path: format!("{}[{index}]", self.path) };
        items.iter().take(max).enumerate().map(place).collect()
    }

    pub(crate) fn text(&self, report: &mut Report) -> Option<&'a str> {
        let Json::Text(text) = self.json else {
            self.refuse(report, "a string");
            return None;
        };
        Some(text)
    }

    /// Text of a limited length; the limits are in characters, as the service counts them.
    pub(crate) fn text_of(
        &self,
        report: &mut Report,
        length: RangeInclusive<usize>,
    ) -> Option<&'a str> {
        let text = self.text(report)?;
        if length.contains(&text.chars().count()) {
            return Some(text);
        }
        self.refuse(report, format!("{} to {} characters", length.start(), length.end()));
        None
    }

    pub(crate) fn boolean(&self, report: &mut Report) -> Option<bool> {
        let Json::Boolean(value) = self.json else {
            self.refuse(report, "true or false");
            return None;
        };
        Some(*value)
    }

    /// A whole number in a range; `note` says the unit or the exception, or nothing.
    pub(crate) fn whole(
        &self,
        report: &mut Report,
        range: RangeInclusive<u32>,
        note: &str,
    ) -> Option<u32> {
        if let Json::Whole(value) = self.json
            && let Ok(value) = u32::try_from(*value)
            && range.contains(&value)
        {
            return Some(value);
        }
        let space = if note.is_empty() { "" } else { " " };
        self.refuse(report, format!("{} to {}{space}{note}", range.start(), range.end()));
        None
    }

    /// One of the named values.
    pub(crate) fn one_of<T: Copy>(&self, report: &mut Report, names: &[(&str, T)]) -> Option<T> {
        if let Json::Text(text) = self.json
            && let Some((_, value)) = names.iter().find(|(name, _)| name == text)
        {
            return Some(*value);
        }
        let allowed: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        self.refuse(report, allowed.join(" or "));
        None
    }

    pub(crate) fn is_whole(&self, value: u32) -> bool {
        matches!(self.json, Json::Whole(found) if *found == u64::from(value))
    }

    /// A field of an object that is read elsewhere, for rules between distant fields.
    pub(crate) fn field(&self, name: &str) -> Option<At<'a>> {
        let Json::Object(entries) = self.json else { return None };
        let (name, json) = entries.iter().find(|(field, _)| field == name)?;
        Some(At { json, path: joined(&self.path, name) })
    }

    /// The first entry of a list that is read elsewhere.
    pub(crate) fn first(&self) -> Option<At<'a>> {
        let Json::List(items) = self.json else { return None };
        Some(At { json: items.first()?, path: format!("{}[0]", self.path) })
    }

    pub(crate) fn is_empty_list(&self) -> bool {
        matches!(self.json, Json::List(items) if items.is_empty())
    }
}

impl<'a> Object<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<At<'a>> {
        let (name, json) = self.entries.iter().find(|(field, _)| field == name)?;
        Some(At { json, path: joined(&self.path, name) })
    }

    /// A field that must be there.
    pub(crate) fn need(&self, report: &mut Report, name: &str, allowed: &str) -> Option<At<'a>> {
        let field = self.get(name);
        if field.is_none() {
            report.add(joined(&self.path, name), "nothing", allowed);
        }
        field
    }

    /// A field that must not be there. An empty list asks for nothing and is let pass.
    pub(crate) fn absent(&self, report: &mut Report, name: &str, why: &str) {
        if let Some(field) = self.get(name).filter(|field| !field.is_empty_list()) {
            field.refuse(report, format!("nothing: {why}"));
        }
    }

    pub(crate) fn boolean_or(&self, report: &mut Report, name: &str, default: bool) -> bool {
        self.get(name).and_then(|field| field.boolean(report)).unwrap_or(default)
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = At<'a>> + '_ {
        self.entries.iter().map(|(name, json)| At { json, path: joined(&self.path, name) })
    }
}

fn joined(path: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return format!("{path}[{}]", quoted(name));
    }
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

fn entries_text(min: usize, max: usize) -> String {
    match (min, max) {
        (1, 1) => "exactly 1 entry".into(),
        (0, 1) => "at most 1 entry".into(),
        (0, max) => format!("at most {max} entries"),
        (min, max) => format!("{min} to {max} entries"),
    }
}
