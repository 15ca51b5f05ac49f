//! Virtual time: tasks that are polled one at a time, and a clock that jumps to the next
//! moment for which somebody waits. Nothing here is random.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The clock and the tasks; copies are the same.
#[derive(Clone, Default)]
pub(crate) struct Exec(Arc<Core>);

#[derive(Default)]
struct Core {
    time: Mutex<Time>,
    spawned: Mutex<Vec<Task>>,
    ready: Arc<Mutex<Vec<usize>>>,
}

#[derive(Default)]
struct Time {
    now_ms: u64,
    timers: BinaryHeap<Reverse<(u64, u64)>>,
    wakers: BTreeMap<u64, Waker>,
    count: u64,
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Exec at {}", self.now_ms())
    }
}

struct Woken {
    task: usize,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        lock(&self.ready).push(self.task);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exec {
    /// A clock that begins here.
    #[must_use]
    pub(crate) fn at(now_ms: u64) -> Self {
        let exec = Self::default();
        lock(&exec.0.time).now_ms = now_ms;
        exec
    }

    /// The true time.
    #[must_use]
    pub(crate) fn now_ms(&self) -> u64 {
        lock(&self.0.time).now_ms
    }

    /// Begins a task; it is polled after whoever runs now.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0.spawned).push(Box::pin(task));
    }

    /// Waits.
    pub(crate) async fn sleep(&self, ms: u64) {
        let until = self.now_ms().saturating_add(ms);
        let mut timer = None;
        std::future::poll_fn(|context| {
            let mut time = lock(&self.0.time);
            if time.now_ms >= until && (timer.is_some() || ms == 0) {
                return Poll::Ready(());
            }
            let id = *timer.get_or_insert_with(|| {
                time.count += 1;
                let id = time.count;
                time.timers.push(Reverse((until, id)));
                id
            });
            time.wakers.insert(id, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Runs until nothing is left to wait for, `done` says so, or it is too late. Returns
    /// whether it was done.
    pub(crate) fn run(&self, until_ms: u64, mut done: impl FnMut() -> bool) -> bool {
        let mut tasks: BTreeMap<usize, (Task, Waker)> = BTreeMap::new();
        let mut next = 0;
        loop {
            let spawned = std::mem::take(&mut *lock(&self.0.spawned));
            for task in spawned {
                let woken = Woken { task: next, ready: Arc::clone(&self.0.ready) };
                tasks.insert(next, (task, Waker::from(Arc::new(woken))));
                lock(&self.0.ready).push(next);
                next += 1;
            }
            let ready = std::mem::take(&mut *lock(&self.0.ready));
            for id in &ready {
                let Some((task, waker)) = tasks.get_mut(id) else { continue };
                if task.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                    tasks.remove(id);
                }
            }
            if !ready.is_empty() || !lock(&self.0.spawned).is_empty() {
                continue;
            }
            if done() {
                return true;
            }
            let mut time = lock(&self.0.time);
            let Some(Reverse((at, id))) = time.timers.pop() else { return false };
            if at > until_ms {
                return false;
            }
            time.now_ms = time.now_ms.max(at);
            let waker = time.wakers.remove(&id);
            drop(time);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
