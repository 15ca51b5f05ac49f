//! What is sent to the instance, and what its answers mean.

use stillpoint_run::Consistency;

use super::world::{Document, World};
use super::{assert_promises, deliver, order};

#[test]
fn our_documents_are_told_the_time_and_the_volumes_and_others_only_what_dlm_sends() {
    for (document, ours) in [
        ("Stillpoint-Filesystem", true),
        ("arn:aws:ssm:us-east-1:111122223333:document/Stillpoint-PostgreSQL", true),
        ("Database-Quiesce", false),
    ] {
        let mut order = order(0, true);
        order.volumes[0].boot = true;
        order.script.as_mut().unwrap().document = document.to_owned();
        let world = World::new(Document::Agent);
        deliver(&world, &order);
        let sent = &world.state.lock().unwrap().sent;
        assert_eq!(sent.len(), 2);
        for parameters in sent {
            let value = |name: &str| parameters.get(name).map(|all| all.join(" "));
            assert_eq!(value("timeout").as_deref(), ours.then_some("10s"));
            assert_eq!(value("volumes").as_deref(), ours.then_some("vol-b"));
        }
    }
}

#[test]
fn every_status_of_a_command_means_one_thing() {
    use stillpoint_drive::outside::Progress::{self, *};
    for (status, details, means) in [
        ("Pending", "Pending", Waiting),
        ("Delayed", "Delayed", Waiting),
        ("InProgress", "InProgress", Running),
        ("Cancelling", "Cancelling", Running),
        ("Success", "Success", Succeeded),
        ("Failed", "Failed", Failed),
        ("TimedOut", "DeliveryTimedOut", GivenUp),
        ("TimedOut", "Delivery Timed Out", GivenUp),
        ("TimedOut", "ExecutionTimedOut", OutOfTime),
        ("TimedOut", "Execution Timed Out", OutOfTime),
        ("TimedOut", "", GivenUp),
        ("Cancelled", "Cancelled", Cancelled),
        ("Cancelled", "", Cancelled),
        ("Cancelled", "Terminated", GivenUp),
        ("Failed", "Terminated", GivenUp),
        ("Failed", "Undeliverable", NeverRan),
        ("Cancelled", "Undeliverable", NeverRan),
        ("Failed", "InvalidPlatform", NeverRan),
        ("Failed", "Invalid Platform", NeverRan),
        ("Failed", "AccessDenied", NeverRan),
        ("Failed", "Access Denied", NeverRan),
        ("Failed", "something new", Failed),
        ("Invented", "Later", Waiting),
        ("", "", Waiting),
    ] {
        assert_eq!(Progress::of(status, details), means, "{status} {details}");
    }
}

#[test]
fn every_exit_code_is_one_cause() {
    for (stage, code, cause, words) in [
        ("pre-script", 1, "SP3002", "exited with 1 (an exit code of the document's own)"),
        ("pre-script", 201, "SP3002", "exited with 201 (the pre-script failed)"),
        ("pre-script", 202, "SP3002", "exited with 202 (the post-script failed)"),
        ("pre-script", 203, "SP3002", "exited with 203 (the auto-thaw came before"),
        ("pre-script", 204, "SP3002", "exited with 204 (pre-script while a post-script"),
        ("pre-script", 205, "SP3002", "exited with 205 (post-script while a pre-script"),
        ("pre-script", 206, "SP3017", "exited with 206 (not ready for it)"),
        ("post-script", 1, "SP3006", "exited with 1 (an exit code of the document's own)"),
        ("post-script", 201, "SP3006", "exited with 201 (the pre-script failed)"),
        ("post-script", 202, "SP3006", "exited with 202 (the post-script failed)"),
        ("post-script", 203, "SP3005", "exit code 203: released before the post-script came"),
        ("post-script", 204, "SP3006", "exited with 204 (pre-script while a post-script"),
        ("post-script", 205, "SP3007", "exit code 205: the post-script found nothing held"),
        ("post-script", 206, "SP3006", "exited with 206 (not ready for it)"),
    ] {
        let world = World::new(Document::Exits(stage, code));
        let run = deliver(&world, &order(0, true));
        assert_promises(&world, &run, &format!("{stage} {code}"));
        let verdict = run.verdict.unwrap();
        assert_eq!(verdict.consistency, Some(Consistency::Crash), "{stage} {code}");
        let found = verdict.cause.unwrap();
        assert_eq!(found.code.as_str(), cause, "{stage} {code}");
        assert!(found.text.contains(words), "{stage} {code}: {found}");
    }
}

#[test]
fn a_silent_document_is_claimed_and_one_that_was_skipped_is_not() {
    for (document, consistency, code) in [
        (Document::Silent, Consistency::Claimed, "SP3008"),
        (Document::Skipped, Consistency::Crash, "SP3021"),
    ] {
        let world = World::new(document);
        let run = deliver(&world, &order(0, true));
        assert_promises(&world, &run, "silent");
        let verdict = run.verdict.unwrap();
        assert_eq!(verdict.consistency, Some(consistency), "{document:?}");
        assert_eq!(verdict.cause.unwrap().code.as_str(), code, "{document:?}");
        // The steps are asked for when nothing is held any more.
        let calls = &world.state.lock().unwrap().calls;
        let at = |name: &str| calls.iter().rposition(|call| *call == name).unwrap();
        assert!(at("steps") > at("create"), "{calls:?}");
    }
}
