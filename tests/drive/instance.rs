//! A Windows instance that runs AWS's VSS document in the world's own time: whoever sent it
//! may be dead by then.

use std::collections::BTreeMap;

use stillpoint_drive::outside::{CommandState, Progress, SendCommand};
use stillpoint_run::{SnapshotSet, SnapshotTaken};

/// What the document does on this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vss {
    Consistent,
    /// Freeze to thaw took more than 9 s: error 10, snapshots exist.
    TooSlow,
    /// No components: error 1003, nothing was made.
    NotInstalled,
    /// It fails after the snapshots were made: error 3041, none is marked.
    FailsLate,
    /// An old component makes the snapshots, and dies before they have a tag.
    Tagless,
    /// It makes its snapshots and then does not end.
    Hangs,
    /// It does not end, and makes nothing.
    HangsEmpty,
    /// It does not end, also not when it is cancelled, and makes its snapshots late.
    Deaf,
    /// Its steps are for another platform.
    Skipped,
    /// The agent is not there.
    NotDelivered,
}

/// The volumes that Windows has mounted.
const MOUNTED: [&str; 2] = ["vol-a", "vol-b"];
const MAKES_AT_MS: u64 = 5_000;
const MARKS_AT_MS: u64 = 8_000;
const ENDS_AT_MS: u64 = 10_000;
/// A set that comes this late is one that nobody waits for any more.
const LATE_MS: u64 = 1_800_000;

#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) id: String,
    pub(crate) comment: String,
    parameters: BTreeMap<String, Vec<String>>,
    sent_ms: u64,
    cancelled_ms: Option<u64>,
    pub(crate) made: Option<SnapshotSet>,
    marked: bool,
}

impl Command {
    pub(crate) fn new(id: String, command: &SendCommand, now_ms: u64) -> Self {
        Self {
            id,
            comment: command.comment.clone(),
            parameters: command.parameters.clone(),
            sent_ms: now_ms,
            cancelled_ms: None,
            made: None,
            marked: false,
        }
    }

    pub(crate) fn cancel(&mut self, now_ms: u64) {
        self.cancelled_ms.get_or_insert(now_ms);
    }

    /// Lets it go on until now; what it made goes to `tags` and `descriptions`.
    pub(crate) fn go_on(
        &mut self,
        vss: Vss,
        now_ms: u64,
        tags: &mut BTreeMap<String, BTreeMap<String, String>>,
        described: &mut BTreeMap<String, String>,
    ) {
        let end_ms = self.cancelled_ms.filter(|_| vss != Vss::Deaf).unwrap_or(now_ms).min(now_ms);
        let age_ms = end_ms.saturating_sub(self.sent_ms);
        let makes_at_ms = match vss {
            Vss::NotInstalled | Vss::HangsEmpty | Vss::Skipped | Vss::NotDelivered => return,
            Vss::Deaf => LATE_MS,
            _ => MAKES_AT_MS,
        };
        if self.made.is_none() && age_ms >= makes_at_ms {
            let taken = MOUNTED.map(|volume| SnapshotTaken {
                snapshot_id: format!("snap-{}-{volume}", self.id),
                volume_id: volume.to_owned(),
                app_consistent: None,
            });
            for one in &taken {
                let given = if vss == Vss::Tagless { BTreeMap::new() } else { self.tags() };
                tags.insert(one.snapshot_id.clone(), given);
                described.insert(one.snapshot_id.clone(), self.parameters["description"].join(""));
            }
            self.made = Some(SnapshotSet { snapshots: taken.to_vec(), adopted: false });
        }
        let word = match vss {
            Vss::Consistent | Vss::Hangs => "True",
            Vss::TooSlow => "False",
            _ => return,
        };
        if !self.marked && age_ms >= MARKS_AT_MS {
            self.marked = true;
            for one in self.made.iter().flat_map(|set| &set.snapshots) {
                let of = tags.entry(one.snapshot_id.clone()).or_default();
                of.insert("AppConsistent".to_owned(), word.to_owned());
            }
        }
    }

    /// As the document reads its parameter.
    fn tags(&self) -> BTreeMap<String, String> {
        let pairs = self.parameters["tags"][0].split(';').map(|pair| {
            let (key, value) = pair.split_once(",Value=").unwrap();
            (key.strip_prefix("Key=").unwrap().to_owned(), value.to_owned())
        });
        pairs.collect()
    }

    pub(crate) fn state(&self, vss: Vss, now_ms: u64) -> CommandState {
        let age_ms = now_ms.saturating_sub(self.sent_ms);
        let (progress, exit_code) = match (vss, self.cancelled_ms) {
            (Vss::Deaf, _) => (Progress::Running, None),
            (Vss::NotDelivered, None) => (Progress::Waiting, None),
            (Vss::Hangs | Vss::HangsEmpty, None) => (Progress::Running, None),
            (_, Some(_)) => (Progress::Cancelled, None),
            _ if age_ms < ENDS_AT_MS => (Progress::Running, None),
            (Vss::Consistent | Vss::Skipped, None) => (Progress::Succeeded, Some(0)),
            (Vss::TooSlow, None) => (Progress::Failed, Some(10)),
            (Vss::NotInstalled, None) => (Progress::Failed, Some(1003)),
            (Vss::FailsLate | Vss::Tagless, None) => (Progress::Failed, Some(3041)),
        };
        let ended = exit_code.is_some() && vss != Vss::Skipped;
        let stdout = if ended { self.result(exit_code.unwrap_or(0)) } else { String::new() };
        CommandState { progress, details: String::new(), exit_code, stdout, stderr: String::new() }
    }

    fn result(&self, error: i32) -> String {
        let made = self.made.iter().flat_map(|set| &set.snapshots);
        let snapshots: Vec<_> = made
            .map(|one| {
                serde_json::json!({"SnapshotId": one.snapshot_id, "Device": "xvdf",
                    "EbsVolumeId": one.volume_id})
            })
            .collect();
        let result = serde_json::json!({"Error": error, "VolumeCount": snapshots.len(),
            "VssSnapshotSetId": "{set}", "FreezeTimeInMS": 1234, "Snapshots": snapshots,
            "ImageId": "", "Failures": []});
        format!("Freezing\nThawed\n{result}\n")
    }
}
