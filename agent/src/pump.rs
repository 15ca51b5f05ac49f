//! Everything that can reach a holder while it works, in one place: its threads, its
//! client, later calls on the control socket, signals, the death of its sentinels. Each
//! becomes an event of the hold; what follows from it is decided in `hold`.
//!
//! A turn allocates nothing, so that it can run while filesystems are frozen.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use crate::control::{self, ACKNOWLEDGE, Ask, NOT_YOURS, REQUEST_BYTES, to_client};
use crate::hold::{Cause, Event, Phase};
use crate::page::Page;
use crate::sys::{self, POLLHUP, POLLIN, pollfd};
use crate::thaw;

/// A post-script and an operator at once, and some to spare.
const CALLERS_MAX: usize = 6;

/// The descriptors that a holder listens to.
#[derive(Debug)]
pub struct Pump {
    page: Page,
    execution_id: String,
    done: Arc<File>,
    signals: File,
    client: Option<UnixStream>,
    listener: UnixListener,
    sentinels: Vec<OwnedFd>,
    /// Sentinels that have died: they would make every wait end at once.
    gone: [bool; 2],
    callers: [Option<UnixStream>; CALLERS_MAX],
    /// Callers who are owed an answer when the hold is over.
    waiting: [bool; CALLERS_MAX],
}

impl Pump {
    /// Prepares to listen.
    #[must_use]
    pub fn new(
        page: Page,
        execution_id: &str,
        done: Arc<File>,
        signals: File,
        client: UnixStream,
        listener: UnixListener,
        sentinels: Vec<OwnedFd>,
    ) -> Self {
        let (execution_id, client) = (execution_id.to_owned(), Some(client));
        let (callers, waiting, gone) = (Default::default(), [false; CALLERS_MAX], [false; 2]);
        Self {
            page,
            execution_id,
            done,
            signals,
            client,
            listener,
            sentinels,
            gone,
            callers,
            waiting,
        }
    }

    /// Waits for something to happen, no longer than `time`, and lets it happen.
    pub fn turn(&mut self, time: Duration) {
        self.page.beat();
        let none: RawFd = -1;
        let mut fds = [sys::readable(none); 6 + CALLERS_MAX];
        let [done, signals, client, listener, first, second, callers @ ..] = &mut fds;
        done.fd = self.done.as_raw_fd();
        signals.fd = self.signals.as_raw_fd();
        client.fd = self.client.as_ref().map_or(none, AsRawFd::as_raw_fd);
        listener.fd = self.listener.as_raw_fd();
        for ((slot, sentinel), gone) in
            [first, second].into_iter().zip(&self.sentinels).zip(self.gone)
        {
            slot.fd = if gone { none } else { sentinel.as_raw_fd() };
        }
        for (slot, caller) in callers.iter_mut().zip(&self.callers) {
            slot.fd = caller.as_ref().map_or(none, AsRawFd::as_raw_fd);
        }
        sys::poll(&mut fds, thaw::millis(time));
        self.react(&fds);
        self.page.beat();
    }

    fn react(&mut self, fds: &[pollfd; 6 + CALLERS_MAX]) {
        let is = |at: usize| fds[at].revents != 0;
        if is(0) {
            thaw::drain(&self.done);
        }
        if is(1) && (&self.signals).read(&mut [0; 128]).is_ok() {
            self.page.apply(Event::Stop(Cause::Signal, 0));
        }
        if is(2) {
            self.hear_client();
        }
        // The last sentinel takes our only safety with it; one is enough to go on.
        for (gone, fd) in self.gone.iter_mut().zip(&fds[4..6]) {
            *gone |= fd.revents != 0;
        }
        let gone = self.gone.iter().filter(|gone| **gone).count();
        if !self.sentinels.is_empty() && gone == self.sentinels.len() {
            self.page.apply(Event::Stop(Cause::SentinelsGone, 0));
        }
        for at in 0..CALLERS_MAX {
            if fds[6 + at].revents & (POLLIN | POLLHUP) != 0 {
                self.hear_caller(at);
            }
        }
        if is(3) {
            self.accept();
        }
    }

    fn hear_client(&mut self) {
        let Some(mut client) = self.client.as_ref() else { return };
        let mut byte = [0];
        if matches!(client.read(&mut byte), Ok(1)) && byte[0] == ACKNOWLEDGE {
            // The auto-thaw may have come first; then the client must not hear "held".
            let held = self.page.apply(Event::Acknowledge);
            let answer = if held { to_client::HELD } else { to_client::ENDED };
            let _ = client.write(&[answer]);
            return;
        }
        self.page.apply(Event::Stop(Cause::ClientGone, 0));
        self.client = None;
    }

    fn accept(&mut self) {
        let Ok((caller, _)) = self.listener.accept() else { return };
        if !matches!(sys::peer_uid(caller.as_fd()), Ok(0)) || caller.set_nonblocking(true).is_err()
        {
            return;
        }
        if let Some(slot) = self.callers.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(caller);
        }
    }

    fn hear_caller(&mut self, at: usize) {
        let Some(mut caller) = self.callers[at].as_ref() else { return };
        let mut bytes = [0; REQUEST_BYTES + 1];
        let len = caller.read(&mut bytes).unwrap_or(0);
        let request = bytes.get(..len).unwrap_or_default();
        match control::asked(request, &self.execution_id) {
            Some(ask) => {
                let cause = if ask == Ask::Release { Cause::PostScript } else { Cause::Operator };
                self.page.apply(Event::Stop(cause, 0));
                self.waiting[at] = true;
            }
            None => {
                let _ = caller.write(&[NOT_YOURS]);
                self.callers[at] = None;
                self.waiting[at] = false;
            }
        }
    }

    /// Sends the client one message, if it is still there.
    pub fn tell_client(&self, message: &[u8]) {
        if let Some(mut client) = self.client.as_ref() {
            let _ = client.write(message);
        }
    }

    /// Answers everybody who waits for the end of the hold.
    pub fn answer_callers(&mut self) {
        self.turn(Duration::ZERO);
        for (caller, waiting) in self.callers.iter().zip(self.waiting) {
            if let Some(mut caller) = caller.as_ref().filter(|_| waiting) {
                let _ = caller.write(&[control::DONE]);
            }
        }
    }

    /// Waits until the sentinels have gone, which they do when the hold is over.
    pub fn wait_for_sentinels(&self, time: Duration) {
        let until = sys::boottime_ns() + thaw::nanos(time);
        for sentinel in &self.sentinels {
            let left = Duration::from_nanos(until.saturating_sub(sys::boottime_ns()));
            sys::poll(&mut [sys::readable(sentinel.as_raw_fd())], thaw::millis(left));
        }
    }

    /// Whether the process of a rank has died; the holder itself is rank 0.
    #[must_use]
    pub fn is_dead(&self, rank: u8) -> bool {
        usize::from(rank)
            .checked_sub(1)
            .and_then(|at| self.sentinels.get(at))
            .is_some_and(|pidfd| sys::poll(&mut [sys::readable(pidfd.as_raw_fd())], 0) > 0)
    }

    /// How far the hold has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.page.hold().phase
    }
}
