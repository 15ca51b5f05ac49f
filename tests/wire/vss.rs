//! What goes into AWS's VSS documents and what comes out: every form of the result that
//! PowerShell writes, and tags that no document would refuse.

use proptest::prelude::*;
use stillpoint_run::Proof;
use stillpoint_wire::vss;

use crate::run::order;

fn read(line: &str) -> Option<(i64, Option<u64>, Vec<String>)> {
    match vss::result(line).unwrap()? {
        Proof::Vss { error, frozen_ms, snapshots, .. } => {
            Some((error, frozen_ms, snapshots.into_iter().map(|one| one.snapshot_id).collect()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_form_of_the_result_is_read() {
    let ids = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    for (line, expected) in [
        // A list, as the document has it; a list of one, as PowerShell writes it; none at all.
        (
            r#"{"Error":0,"VolumeCount":2,"VssSnapshotSetId":"{x}","FreezeTimeInMS":812,"Snapshots":
            [{"SnapshotId":"snap-1","Device":"xvdf","EbsVolumeId":"vol-1"},
             {"SnapshotId":"snap-2","Device":"xvdg","EbsVolumeId":"vol-2"}],"Failures":[]}"#,
            (0, Some(812), ids(&["snap-1", "snap-2"])),
        ),
        (
            r#"{"Error":"10","FreezeTimeInMS":9412.6,"Snapshots":{"SnapshotId":"snap-1","EbsVolumeId":"vol-1"}}"#,
            (10, Some(9_413), ids(&["snap-1"])),
        ),
        (r#"{"Error":1003,"FreezeTimeInMS":null,"Snapshots":null}"#, (1_003, None, vec![])),
        (
            r#"{"Error":2005,"FreezeTimeInMS":-1,"Snapshots":[{"SnapshotId":""},7]}"#,
            (2_005, None, vec![]),
        ),
        (r#"{"Error":0}"#, (0, None, vec![])),
    ] {
        let line = line.replace("\n            ", "").replace("\n             ", "");
        assert_eq!(read(&format!("first\r\n{line}\r\n\r\n")), Some(expected), "{line}");
    }
    assert_eq!(read("nothing of it"), None);
    assert_eq!(read("{\"error\":0}"), None, "the document's key is Error");
    assert!(vss::result("{\"Error\":").unwrap_err().contains("cannot be read"));
    assert!(vss::result("{\"Error\":[]}").unwrap_err().contains("allowed a number"));
}

#[test]
fn only_the_last_result_counts() {
    assert_eq!(read("{\"Error\":1}\n{\"Error\":2}\nbye"), Some((2, None, vec![])));
}

#[test]
fn every_code_of_the_documents_has_words_and_no_other() {
    let listed = (0..=99)
        .chain(1_001..=1_007)
        .chain(1_009..=1_011)
        .chain(2_001..=2_012)
        .chain(2_101..=2_105)
        .chain(3_001..=3_003)
        .chain([3_011, 3_021, 3_022, 3_031, 3_041])
        .chain(4_000..=4_005)
        .chain([5_001])
        .chain(6_001..=6_006)
        .chain(7_001..=7_005);
    let listed: Vec<i64> = listed.collect();
    let unknown = vss::meaning(9_999);
    for code in -1..=9_999 {
        assert_eq!(vss::meaning(code) != unknown, listed.contains(&code), "{code}");
    }
}

proptest! {
    #[test]
    fn the_tags_fit_the_document_and_always_name_the_run(
        tags in prop::collection::btree_map("\\PC{1,20}", "\\PC{0,20}", 0..8),
        schedule in "[0-9A-Za-z _-]{1,40}",
    ) {
        let mut order = order();
        order.tags = tags;
        order.schedule_name = schedule;
        let sent = vss::parameters(&order, 120);
        let text = &sent["tags"][0];
        let allowed = |one: char| one.is_ascii_alphanumeric() || "() ./\\-\"'@_+:={},;".contains(one);
        prop_assert!(text.chars().all(allowed), "{text}");
        let pairs: Vec<_> = text
            .split(';')
            .map(|pair| pair.strip_prefix("Key=").and_then(|rest| rest.split_once(",Value=")))
            .collect();
        prop_assert!(pairs.iter().all(Option::is_some), "{text}");
        prop_assert!(pairs.contains(&Some(("stillpoint:run-id", "run-1"))), "{text}");
        for reserved in ["AppConsistent", "Device", "AwsVssConfig"] {
            prop_assert!(pairs.iter().flatten().all(|(key, _)| *key != reserved), "{text}");
        }
    }

    #[test]
    fn any_result_is_survived(output in ".{0,300}", error in any::<i64>()) {
        let _ = vss::result(&output);
        let line = format!("{{\"Error\":{error},\"Snapshots\":{output:?}}}");
        let _ = vss::result(&line);
        let _ = vss::meaning(error);
    }
}
