//! Which commands can go out as one, and what that one says.
//!
//! Our documents are told the volumes of the set, which differ on every instance. A volume is
//! attached to one instance only, or to several that share it, and the agent passes over ids that
//! it does not find on its own; so the lists of several instances can be sent to all of them. An
//! empty list means every volume, and is kept apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::is_ours;
use crate::outside::SendCommand;

/// SendCommand takes so many instances.
const INSTANCES_MAX: usize = 50;
/// So long may a joined list get. Systems Manager publishes no limit for a value; the 4,096 that
/// it sets to other strings are kept to.
const LIST_CHARS_MAX: usize = 4_096;
const VOLUMES: &str = "volumes";

/// Document, parameters, delivery time: what one SendCommand has one of.
pub(super) type Key = (String, BTreeMap<String, Vec<String>>, u32);

/// The same for commands that can be one.
pub(super) fn key(command: &SendCommand) -> Key {
    let mut parameters = command.parameters.clone();
    if !volumes(command).is_empty() {
        parameters.remove(VOLUMES);
    }
    (command.document.clone(), parameters, command.delivery_secs)
}

/// The commands of one key, in their order, in as few groups as can each be one command.
pub(super) fn groups(commands: &[SendCommand]) -> Vec<&[SendCommand]> {
    let (mut groups, mut from, mut chars) = (vec![], 0, 0);
    for (at, command) in commands.iter().enumerate() {
        let more: usize = volumes(command).iter().map(|id| id.len() + 1).sum();
        if at > from && (at - from == INSTANCES_MAX || chars + more > LIST_CHARS_MAX) {
            groups.push(&commands[from..at]);
            (from, chars) = (at, 0);
        }
        chars += more;
    }
    if from < commands.len() {
        groups.push(&commands[from..]);
    }
    groups
}

/// One command for all of a group; none for a group of nobody.
pub(super) fn merged(group: &[SendCommand]) -> Option<SendCommand> {
    let (first, others) = group.split_first()?;
    let mut command = first.clone();
    if !others.is_empty() {
        command.comment = format!("{} and {} more", first.comment, others.len());
        let all: BTreeSet<&str> = group.iter().flat_map(volumes).collect();
        if !all.is_empty() {
            let all = Vec::from_iter(all).join(",");
            command.parameters.insert(VOLUMES.to_owned(), vec![all]);
        }
    }
    Some(command)
}

/// The volumes that a document of ours is told.
fn volumes(command: &SendCommand) -> Vec<&str> {
    let told = command.parameters.get(VOLUMES).filter(|_| is_ours(&command.document));
    let ids = told.into_iter().flatten().flat_map(|list| list.split(','));
    ids.filter(|id| !id.is_empty()).collect()
}
