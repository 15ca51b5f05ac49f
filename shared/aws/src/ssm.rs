//! Commands: send to one instance, ask, cancel.

use stillpoint_drive::outside::{CommandState, Commands, Fault, Progress, SendCommand};

use crate::Cloud;
use crate::fault::{fault, incomplete};

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
            request = request.parameters(name, vec![value.clone()]);
        }
        let answer = request.send().await.map_err(fault)?;
        let command_id = answer.command().and_then(|command| command.command_id());
        command_id.map(str::to_owned).ok_or_else(|| incomplete("command id"))
    }

    async fn state(&self, command_id: &str, instance_id: &str) -> Result<CommandState, Fault> {
        let request =
            self.ssm.get_command_invocation().command_id(command_id).instance_id(instance_id);
        match request.send().await.map_err(fault) {
            // Right after SendCommand SSM does not know the invocation yet.
            Err(fault) if fault.code == "InvocationDoesNotExist" => Ok(CommandState {
                progress: Progress::Waiting,
                details: fault.code,
                exit_code: None,
                stdout: String::new(),
                stderr: String::new(),
            }),
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

    async fn cancel(&self, command_id: &str, instance_id: &str) -> Result<(), Fault> {
        let request = self.ssm.cancel_command().command_id(command_id).instance_ids(instance_id);
        request.send().await.map(drop).map_err(fault)
    }
}
