//! A JSON document as it was written, including a field that was written twice.
//!
//! `serde_json::Value` keeps only the last of two equal names, so a policy with two `Schedules`
//! would run one of them without a word. This tree keeps both, and the reader refuses them.
//! It knows nothing of policies.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A found value longer than this says nothing more about where the mistake is.
const MAX_SHOWN_CHARS: usize = 80;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Boolean(bool),
    /// Only what fits; whole numbers of the model are small and never negative.
    Whole(u64),
    /// Negative or fractional: kept for showing, no field of a policy takes it.
    OtherNumber(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value as an error shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Json::Null => "null".into(),
            Json::Boolean(value) => value.to_string(),
            Json::Whole(value) => value.to_string(),
            Json::OtherNumber(text) => text.clone(),
            Json::Text(text) => quoted(text),
            Json::List(items) if items.is_empty() => "an empty list".into(),
            Json::List(items) => format!("a list of {}", items.len()),
            Json::Object(_) => "an object".into(),
        }
    }
}

/// Text in quotes, control characters escaped so that an error stays on one line.
pub(crate) fn quoted(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    format!("{head:?}... ({} characters)", text.chars().count())
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or_else(|_| Json::OtherNumber(value.to_string()), Json::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}
