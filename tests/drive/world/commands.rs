//! SSM, and what the instance's document does when it is sent.

use stillpoint_drive::outside::{CommandState, Commands, Fault, FaultKind, Progress, SendCommand};

use super::{Command, Document, State, World, fault};

const BOOT: &str = "11111111-2222-4333-8444-555555555555";

fn receipt(stage: &str, id: &str, code: u8, state: &str, unbroken: bool) -> String {
    format!(
        r#"INFO some line
{{"stillpoint":1,"stage":"{stage}","executionId":"{id}","code":{code},"state":"{state}",
"bootId":"{BOOT}","hold":{{"unbroken":{unbroken},"frozenAtMs":5,"frozenMs":7,"deadlineMs":60000}},
"frozen":[{{"mount":"/data","fs":"ext4","dev":"259:1","volumes":["vol-a","vol-b"]}}]}}"#
    )
    .replace("\n\"", "\"")
}

impl World {
    fn execute(&self, state: &mut State, stage: &str, id: &str) -> CommandState {
        let (code, stdout) = match (stage, self.document) {
            ("pre-script", Document::PreFails) => {
                state.pre_ran.push(id.to_owned());
                (201, receipt(stage, id, 201, "failed", false))
            }
            (_, Document::Exits(which, code)) => {
                let ran =
                    if stage == "pre-script" { &mut state.pre_ran } else { &mut state.post_ran };
                ran.push(id.to_owned());
                (if which == stage { code } else { 0 }, "INFO done".to_owned())
            }
            ("pre-script", document) => {
                state.pre_ran.push(id.to_owned());
                if state.held.as_deref().is_some_and(|held| held != id) {
                    (204, receipt(stage, id, 204, "already-held", false))
                } else {
                    state.held = Some(id.to_owned());
                    state.held_since_ms = state.now_ms;
                    match document {
                        Document::NoReceipts => (0, "INFO done".to_owned()),
                        Document::Silent | Document::Skipped => (0, String::new()),
                        Document::Garbage => (0, "{\"stillpoint\":1,\"half".to_owned()),
                        _ => (0, receipt(stage, id, 0, "held", true)),
                    }
                }
            }
            (_, document) => {
                state.post_ran.push(id.to_owned());
                if document == Document::AutoThaws && state.held.as_deref() == Some(id) {
                    state.held = None;
                    (203, receipt(stage, id, 203, "auto-thawed", false))
                } else if document == Document::PostFails {
                    (202, receipt(stage, id, 202, "failed", false))
                } else if state.held.as_deref() == Some(id) {
                    state.held = None;
                    state.released.push(id.to_owned());
                    match document {
                        Document::NoReceipts | Document::Garbage => (0, "INFO done".to_owned()),
                        Document::Silent | Document::Skipped => (0, String::new()),
                        _ => (0, receipt(stage, id, 0, "released", true)),
                    }
                } else if state.auto_thawed.iter().any(|thawed| thawed == id) {
                    (203, receipt(stage, id, 203, "auto-thawed", false))
                } else if state.released.iter().any(|released| released == id) {
                    (205, receipt(stage, id, 205, "released", true))
                } else {
                    (205, receipt(stage, id, 205, "nothing-held", false))
                }
            }
        };
        let hangs = stage == "pre-script" && self.document == Document::PreHangs;
        let progress = match code {
            _ if hangs => Progress::Running,
            0 => Progress::Succeeded,
            _ => Progress::Failed,
        };
        let exit_code = Some(code).filter(|_| !hangs);
        CommandState { progress, details: String::new(), exit_code, stdout, stderr: String::new() }
    }
}

impl Commands for World {
    async fn send(&self, command: &SendCommand) -> Result<String, Fault> {
        self.call("send", |state| {
            if !self.instance_exists {
                return Err(fault(FaultKind::Refused, "InvalidInstanceId"));
            }
            state.sent.push(command.parameters.clone());
            if let Document::Vss(_) = self.document {
                let command_id = format!("command-{}", state.vss.len());
                state.vss.push(Command::new(command_id.clone(), command, state.now_ms));
                return Ok(command_id);
            }
            let (stage, id) = (&command.parameters["command"], &command.parameters["executionId"]);
            let end = self.execute(state, &stage[0], &id[0]);
            let command_id = format!("command-{}", state.commands.len());
            state.commands.insert(command_id.clone(), end);
            Ok(command_id)
        })
        .await
    }

    async fn state(
        &self,
        command_id: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<CommandState, Fault> {
        self.call("state", |state| {
            if let Document::Vss(vss) = self.document {
                let command = state.vss.iter().find(|one| one.id == command_id).unwrap();
                return Ok(command.state(vss, state.now_ms));
            }
            Ok(state.commands[command_id].clone())
        })
        .await
    }

    async fn step_outputs(&self, _: &str, _: &str) -> Result<Vec<String>, Fault> {
        let skipped = self.document == Document::Skipped;
        let words = "Step execution skipped due to unsatisfied preconditions: 'x'. Step name: a";
        self.call("steps", |_| Ok(vec![if skipped { words } else { "" }.to_owned()])).await
    }

    async fn find_command(&self, sought: &SendCommand, _: u64) -> Result<Option<String>, Fault> {
        self.call("find_command", |state| {
            let found = state.vss.iter().find(|one| one.comment == sought.comment);
            Ok(found.map(|one| one.id.clone()))
        })
        .await
    }

    async fn cancel(&self, command_id: &str, _: &str) -> Result<(), Fault> {
        self.call("cancel", |state| {
            let now_ms = state.now_ms;
            for command in state.vss.iter_mut().filter(|one| one.id == command_id) {
                command.cancel(now_ms);
            }
            Ok(())
        })
        .await
    }
}
