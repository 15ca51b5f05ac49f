//! What an SDK error means for the effect: did not happen and may later, did not happen
//! and will not, or may have happened.
//!
//! The throttling codes are those that the SDKs retry; the rest of the service's own
//! refusals are final. A 5xx, a lost connection and a time-out leave it open.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use stillpoint_drive::outside::{Fault, FaultKind};

/// Codes that say: nothing was done, come back later.
const RETRY_CODES: &[&str] = &[
    "BandwidthLimitExceeded",
    "ConcurrentTagAccess",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "SnapshotCreationPerVolumeRateExceeded",
    "ConcurrentSnapshotLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TooManyUpdates",
    "TransactionInProgressException",
];

/// Classifies an error of any operation.
pub fn fault<E>(error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (kind, code) = match &error {
        SdkError::ConstructionFailure(_) => (FaultKind::Refused, "RequestNotBuilt".to_owned()),
        SdkError::TimeoutError(_) => (FaultKind::Unknown, "Timeout".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            (FaultKind::Refused, "RequestNotSent".to_owned())
        }
        SdkError::DispatchFailure(_) => (FaultKind::Unknown, "ConnectionLost".to_owned()),
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("UnknownError").to_owned();
            let server_side = service.raw().status().as_u16() >= 500;
            let kind = if RETRY_CODES.contains(&code.as_str()) {
                FaultKind::Retry
            } else if server_side {
                FaultKind::Unknown
            } else {
                FaultKind::Refused
            };
            (kind, code)
        }
        _ => (FaultKind::Unknown, "ReplyUnreadable".to_owned()),
    };
    let text = match &error {
        SdkError::ServiceError(service) => {
            service.err().message().unwrap_or("no message").to_owned()
        }
        other => chain(other),
    };
    Fault { kind, code, text }
}

/// An error with all that it came from, outermost first: the SDK's own words for a failed
/// dispatch are no more than that.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text += &format!(": {inner}");
        source = inner.source();
    }
    text
}

/// A fault of our own making, for an answer that lacks what it must have.
pub(crate) fn incomplete(what: &str) -> Fault {
    Fault {
        kind: FaultKind::Unknown,
        code: "ReplyIncomplete".to_owned(),
        text: format!("the answer has no {what}"),
    }
}

/// A fault of our own making, for a request that cannot be made.
pub(crate) fn unbuildable(error: impl std::fmt::Display) -> Fault {
    Fault { kind: FaultKind::Refused, code: "RequestNotBuilt".to_owned(), text: error.to_string() }
}
