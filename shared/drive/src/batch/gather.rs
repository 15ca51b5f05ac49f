//! Many askers, one call: the first to ask leads, those who ask while it waits are taken
//! along, and each gets its own part of the answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;

type Waiting<I, O> = Vec<(I, oneshot::Sender<O>)>;

/// Those who wait for a leader, if there is one; copies are the same.
#[derive(Debug)]
pub(super) struct Gather<I, O>(Arc<Mutex<Option<Waiting<I, O>>>>);

impl<I, O> Clone for Gather<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O> Default for Gather<I, O> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<I, O> Gather<I, O> {
    /// Asks. Whoever finds no leader becomes it: waits as long as `wait` takes, then acts
    /// for everybody who has come by then. None if the leader did not live to answer.
    pub(super) async fn join<T: Future<Output = Vec<O>>>(
        &self,
        item: I,
        wait: impl Future<Output = ()>,
        act: impl FnOnce(Vec<I>) -> T,
    ) -> Option<O> {
        let led = {
            let mut open = lock(&self.0);
            if let Some(waiting) = open.as_mut() {
                let (sender, receiver) = oneshot::channel();
                waiting.push((item, sender));
                Err(receiver)
            } else {
                *open = Some(vec![]);
                Ok(item)
            }
        };
        let mine = match led {
            Err(receiver) => return receiver.await.ok(),
            Ok(item) => item,
        };
        let mut lead = Lead(Some(self));
        wait.await;
        let (others, senders): (Vec<I>, Vec<_>) = lead.take().into_iter().unzip();
        let mut answers = act([mine].into_iter().chain(others).collect()).await.into_iter();
        let answer = answers.next();
        for (sender, answer) in senders.into_iter().zip(answers) {
            // Whoever waited may have ended.
            drop(sender.send(answer));
        }
        answer
    }
}

/// The leader's place, until it has taken those who wait. When it ends before that, nobody
/// waits for it any more.
struct Lead<'a, I, O>(Option<&'a Gather<I, O>>);

impl<I, O> Lead<'_, I, O> {
    fn take(&mut self) -> Waiting<I, O> {
        self.0.take().and_then(|gather| lock(&gather.0).take()).unwrap_or_default()
    }
}

impl<I, O> Drop for Lead<'_, I, O> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// A panic in one run must not take the others with it.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
