//! Commands: send to one instance, ask, cancel.

use aws_sdk_ssm::types::{Command, CommandFilter, CommandFilterKey};
use stillpoint_drive::outside::{CommandState, Commands, Fault, Progress, SendCommand};
use stillpoint_wire::time::rfc3339_seconds;

use crate::Cloud;
use crate::fault::{fault, incomplete, unbuildable};

/// What SSM answers about an invocation that it does not show yet.
const NOT_YET: &str = "InvocationDoesNotExist";
/// And about a step that it does not show yet, or that should have been named.
const NO_STEP_NAMED: &str = "InvalidPluginName";

impl Commands for Cloud {
    async fn send(&self, command: &SendCommand) -> Result<String, Fault> {
        let mut request = self
            .ssm_once
            .send_command()
            .instance_ids(&command.instance_id)
            .document_name(&command.document)
            .timeout_seconds(i32::try_from(command.delivery_secs).unwrap_or(i32::MAX))
            .comment(&command.comment);
        for (name, value) in &command.parameters {
            request = request.parameters(name, value.clone());
        }
        let answer = request.send().await.map_err(fault)?;
        let command_id = answer.command().and_then(|command| command.command_id());
        command_id.map(str::to_owned).ok_or_else(|| incomplete("command id"))
    }

    async fn state(
        &self,
        command_id: &str,
        instance_id: &str,
        step: Option<&str>,
    ) -> Result<CommandState, Fault> {
        let request = self
            .ssm
            .get_command_invocation()
            .command_id(command_id)
            .instance_id(instance_id)
            .set_plugin_name(step.map(str::to_owned));
        match request.send().await.map_err(fault) {
            // Right after SendCommand SSM does not know the invocation yet, nor its steps.
            Err(fault)
                if fault.code == NOT_YET || (fault.code == NO_STEP_NAMED && step.is_some()) =>
            {
                Ok(waiting(fault.code))
            }
            // A document of several steps is told of by its step alone; all of them are in the list.
            Err(fault) if fault.code == NO_STEP_NAMED && step.is_none() => {
                self.state_of_steps(command_id, instance_id).await
            }
            Err(fault) => Err(fault),
            Ok(answer) => {
                let details = answer.status_details().unwrap_or_default().to_owned();
                Ok(CommandState {
                    progress: Progress::of(
                        answer.status().map_or("", |one| one.as_str()),
                        &details,
                    ),
                    details,
                    exit_code: Some(answer.response_code()).filter(|code| *code >= 0),
                    stdout: answer.standard_output_content().unwrap_or_default().to_owned(),
                    stderr: answer.standard_error_content().unwrap_or_default().to_owned(),
                })
            }
        }
    }

    async fn step_outputs(
        &self,
        command_id: &str,
        instance_id: &str,
    ) -> Result<Vec<String>, Fault> {
        let request = self.ssm.list_command_invocations().command_id(command_id);
        let answer = request.instance_id(instance_id).details(true).send().await.map_err(fault)?;
        let steps = answer.command_invocations().iter().flat_map(|one| one.command_plugins());
        Ok(steps.map(|step| step.output().unwrap_or_default().to_owned()).collect())
    }

    async fn find_command(
        &self,
        sought: &SendCommand,
        since_ms: u64,
    ) -> Result<Option<String>, Fault> {
        let filter = |key, value: String| {
            CommandFilter::builder().key(key).value(value).build().map_err(unbuildable)
        };
        let mut pages = self
            .ssm
            .list_commands()
            .instance_id(&sought.instance_id)
            .filters(filter(CommandFilterKey::InvokedAfter, rfc3339_seconds(since_ms))?)
            .filters(filter(CommandFilterKey::DocumentName, sought.document.clone())?)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            let ours = |one: &&Command| one.comment() == Some(sought.comment.as_str());
            if let Some(command) = page.commands().iter().find(ours) {
                return Ok(command.command_id().map(str::to_owned));
            }
        }
        Ok(None)
    }

    async fn cancel(&self, command_id: &str, instance_id: &str) -> Result<(), Fault> {
        let request = self.ssm.cancel_command().command_id(command_id).instance_ids(instance_id);
        request.send().await.map(drop).map_err(fault)
    }
}

impl Cloud {
    /// How a command stands whose document has several steps: the whole, with what each step
    /// printed and the exit code of the one that failed.
    async fn state_of_steps(
        &self,
        command_id: &str,
        instance_id: &str,
    ) -> Result<CommandState, Fault> {
        let request = self.ssm.list_command_invocations().command_id(command_id);
        let answer = request.instance_id(instance_id).details(true).send().await.map_err(fault)?;
        let Some(whole) = answer.command_invocations().first() else {
            return Ok(waiting(NOT_YET.to_owned()));
        };
        let details = whole.status_details().unwrap_or_default().to_owned();
        let steps = whole.command_plugins();
        let codes = || steps.iter().map(|step| step.response_code()).filter(|code| *code >= 0);
        let outputs: Vec<_> = steps.iter().filter_map(|step| step.output()).collect();
        Ok(CommandState {
            progress: Progress::of(whole.status().map_or("", |one| one.as_str()), &details),
            details,
            exit_code: codes().find(|code| *code != 0).or_else(|| codes().next()),
            stdout: outputs.join("\n"),
            stderr: String::new(),
        })
    }
}

fn waiting(details: String) -> CommandState {
    CommandState {
        progress: Progress::Waiting,
        details,
        exit_code: None,
        stdout: String::new(),
        stderr: String::new(),
    }
}
