//! One answer for all who ask for the same command at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::channel::oneshot;

use super::gather::lock;
use crate::outside::{CommandState, Fault, FaultKind, Progress};

type States = Arc<Vec<(String, CommandState)>>;
type Answer = Result<States, Fault>;

/// The commands that somebody is asking for, with those who wait for the answer, and the last
/// answers.
#[derive(Debug, Default)]
pub(super) struct Polls {
    asking: Mutex<HashMap<String, Vec<oneshot::Sender<Answer>>>>,
    told: Mutex<HashMap<String, States>>,
}

impl Polls {
    /// The end of one instance, if an answer to anybody has told it: whoever waits for it holds
    /// something, and its own question may get no answer.
    pub(super) fn end_of(&self, command_id: &str, instance_id: &str) -> Option<CommandState> {
        let told = lock(&self.told);
        let (_, state) = told.get(command_id)?.iter().find(|(id, _)| id == instance_id)?;
        let is_ended = !matches!(state.progress, Progress::Waiting | Progress::Running);
        is_ended.then(|| state.clone())
    }

    /// Asks, or waits for the answer to whoever is asking already.
    pub(super) async fn ask<T>(&self, command_id: &str, ask: impl FnOnce() -> T) -> Answer
    where
        T: Future<Output = Result<Vec<(String, CommandState)>, Fault>>,
    {
        let waits = {
            let mut asking = lock(&self.asking);
            match asking.get_mut(command_id) {
                Some(waiting) => {
                    let (sender, receiver) = oneshot::channel();
                    waiting.push(sender);
                    Some(receiver)
                }
                None => {
                    asking.insert(command_id.to_owned(), vec![]);
                    None
                }
            }
        };
        if let Some(receiver) = waits {
            return receiver.await.unwrap_or_else(|_| Err(lost()));
        }
        let mut place = Place { polls: Some(self), command_id };
        let answer = ask().await.map(Arc::new);
        if let Ok(states) = &answer {
            lock(&self.told).insert(command_id.to_owned(), Arc::clone(states));
        }
        for sender in place.leave() {
            drop(sender.send(answer.clone()));
        }
        answer
    }
}

/// Of the one who asks; when it is gone, nobody waits for it any more.
struct Place<'a> {
    polls: Option<&'a Polls>,
    command_id: &'a str,
}

impl Place<'_> {
    fn leave(&mut self) -> Vec<oneshot::Sender<Answer>> {
        let polls = self.polls.take();
        polls.and_then(|polls| lock(&polls.asking).remove(self.command_id)).unwrap_or_default()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

/// Says nothing about the command; it is asked for again.
fn lost() -> Fault {
    Fault {
        kind: FaultKind::Retry,
        code: "AnswerLost".to_owned(),
        text: "the run that asked for all of them ended".to_owned(),
    }
}
