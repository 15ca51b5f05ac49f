//! Each row of docs/RETENTION.md, by name; a file a section.

mod archived;
mod beyond_dlm;
mod changed;
mod copies;
mod count_and_age;
mod phases;
mod refused;
