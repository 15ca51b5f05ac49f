//! The one Lambda binary. Each function keeps its own folder, role and settings; they
//! share the binary since each further link of the SDK costs minutes.

mod context;

use context::{Context, Function};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use stillpoint_aws::Cloud;
use stillpoint_planner::Answer;
use stillpoint_wire::queue::QueueEvent;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).ok();
    let context = Context::read(variable)?;
    stillpoint_telemetry::init(&context.log_level);
    let cloud = &Cloud::of_function(context.names, variable);
    match context.function {
        Function::Planner => {
            run(service_fn(|event: LambdaEvent<Value>| async move {
                stillpoint_planner::handle(cloud, &event.payload, &event.context.request_id)
                    .await
                    .map(Answer::fitted)
                    .map_err(|refusal| diagnostic(refusal.code.as_str(), refusal.text))
            }))
            .await
        }
        Function::Guard => {
            run(service_fn(|event: LambdaEvent<Value>| async move {
                let (request_id, dead_at_ms) = (&event.context.request_id, event.context.deadline);
                stillpoint_guard::handle(cloud, &event.payload, request_id, dead_at_ms)
                    .await
                    .map_err(Error::from)
            }))
            .await
        }
        Function::Runner => {
            run(service_fn(|event: LambdaEvent<QueueEvent>| async move {
                let (request_id, dead_at_ms) = (&event.context.request_id, event.context.deadline);
                let answer =
                    stillpoint_runner::handle(cloud, &event.payload, request_id, dead_at_ms);
                Ok::<_, Error>(answer.await)
            }))
            .await
        }
        Function::Lifecycle => {
            run(service_fn(|event: LambdaEvent<Value>| async move {
                let (request_id, dead_at_ms) = (&event.context.request_id, event.context.deadline);
                stillpoint_lifecycle::handle(cloud, request_id, dead_at_ms)
                    .await
                    .map_err(|fault| Error::from(fault.to_string()))
            }))
            .await
        }
        Function::Restorer => {
            run(service_fn(|event: LambdaEvent<Value>| async move {
                let (request_id, dead_at_ms) = (&event.context.request_id, event.context.deadline);
                stillpoint_restorer::handle(cloud, &event.payload, request_id, dead_at_ms)
                    .await
                    .map_err(|refused| diagnostic(refused.code.as_str(), refused.lines.join("\n")))
            }))
            .await
        }
        Function::Reaper { grace_ms } => {
            run(service_fn(|event: LambdaEvent<Value>| async move {
                let dead_at_ms = event.context.deadline;
                stillpoint_reaper::handle(cloud, &event.payload, grace_ms, dead_at_ms)
                    .await
                    .map_err(|fault| Error::from(fault.to_string()))
            }))
            .await
        }
    }
}

fn diagnostic(code: &str, text: String) -> Diagnostic {
    Diagnostic { error_type: code.to_owned(), error_message: text }
}
