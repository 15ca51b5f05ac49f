//! What becomes of one call, and of who made it: shared by the tests that disturb every call.

use std::future::{Future, pending};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use stillpoint_drive::outside::{Fault, FaultKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The driver dies before it.
    CrashBefore,
    /// It takes effect, and the driver dies.
    CrashAfter,
    /// It takes effect, and the answer is lost.
    LoseReply,
    /// It takes no effect, and never would.
    Refuse,
    /// It takes no effect.
    Throttle,
}

pub(crate) const TROUBLES: [Trouble; 5] = [
    Trouble::CrashBefore,
    Trouble::CrashAfter,
    Trouble::LoseReply,
    Trouble::Refuse,
    Trouble::Throttle,
];

/// A call that meets with it.
pub(crate) async fn meet<T>(
    trouble: Option<Trouble>,
    call: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    match trouble {
        None => call(),
        Some(Trouble::CrashBefore) => pending().await,
        Some(Trouble::CrashAfter) => {
            drop(call());
            pending().await
        }
        Some(Trouble::LoseReply) => {
            drop(call());
            Err(fault(FaultKind::Unknown, "ConnectionLost"))
        }
        Some(Trouble::Refuse) => Err(fault(FaultKind::Refused, "UnauthorizedOperation")),
        Some(Trouble::Throttle) => Err(fault(FaultKind::Retry, "RequestLimitExceeded")),
    }
}

pub(crate) fn fault(kind: FaultKind, code: &str) -> Fault {
    Fault { kind, code: code.to_owned(), text: "in the words of a test".to_owned() }
}

/// What came of it; none if it died on the way. Nothing in these tests waits for anything else.
pub(crate) fn alive<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
