//! The parts of the agent that touch nothing: parser, state machine, command line,
//! order of freezing, flush passes, receipts.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use proptest::prelude::*;
use stillpoint_agent::apps::pgfind;
use stillpoint_agent::cli::{self, Stage};
use stillpoint_agent::config::Config;
use stillpoint_agent::flush::{self, Next, Worth};
use stillpoint_agent::hold::{CAUSES, Cause, End, Event, Hold, PHASES, Phase};
use stillpoint_agent::mountinfo::{self, Dev};
use stillpoint_agent::pace::{self, Pace};
use stillpoint_agent::{backlog, receipt, targets, thaw};
use stillpoint_wire::receipt::{Frozen, HoldState, LeftOut, RECEIPT_CHARS_MAX};

fn dev(major: u32, minor: u32) -> Dev {
    Dev { major, minor }
}

#[test]
fn a_mount_table_as_kernels_write_it() {
    let text = b"22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\n\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        90 27 259:1 /sub /mnt/a\\040b\\012c\\134 rw shared:1 master:2 - btrfs /dev/x ro,space_cache\n\
        nonsense\n\n91 27 x / / rw - a b c\n";
    let mounts = mountinfo::parse(text);
    assert_eq!(mounts.len(), 3);
    assert_eq!((mounts[1].id, mounts[1].parent, mounts[1].dev), (27, 1, dev(254, 0)));
    assert_eq!(mounts[2].point.as_os_str().as_bytes(), b"/mnt/a b\nc\\");
    assert!(mounts[2].read_only && !mounts[1].read_only);
}

/// As the kernel writes a path: the four characters that would break a line.
fn escape(path: &[u8]) -> Vec<u8> {
    path.iter()
        .flat_map(|&byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            _ => vec![byte],
        })
        .collect()
}

proptest! {
    #[test]
    fn the_parser_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = mountinfo::parse(&bytes);
    }

    #[test]
    fn the_parser_never_panics_on_what_is_almost_right(
        text in "[0-9]{1,22} [0-9]{1,22} [0-9]{0,12}:[0-9]{0,12} (/|\\\\|[0-7]){0,9} (\\\\[0-7]{0,3}){0,5} (rw|ro|-)( -){0,2}( [a-z]{0,5}){0,4}"
    ) {
        let _ = mountinfo::parse(text.as_bytes());
    }

    #[test]
    fn every_path_comes_back(path in proptest::collection::vec(1_u8.., 1..300)) {
        let line = [b"1 2 3:4 / ", escape(&path).as_slice(), b" rw - ext4 /dev/x rw"].concat();
        let mounts = mountinfo::parse(&line);
        prop_assert_eq!(mounts[0].point.as_os_str().as_bytes(), path.as_slice());
    }

    #[test]
    fn a_hold_ends_once_and_never_comes_back(steps in proptest::collection::vec(event(), 0..40)) {
        let mut hold = Hold::NEW;
        for step in steps {
            let Some(next) = hold.after(step) else { continue };
            prop_assert!(next.phase > hold.phase, "{hold:?} {step:?}");
            prop_assert!(hold.end == End::None || (next.end, next.cause) == (hold.end, hold.cause));
            prop_assert_eq!(next.end == End::None, next.phase < Phase::Ending);
            // A hold that the client never acknowledged is never anything but failed.
            if hold.phase < Phase::Acknowledged && next.is_ending() {
                prop_assert_eq!(next.end, End::Failed);
            }
            hold = next;
            prop_assert_eq!(Hold::decode(hold.encode()), Some(hold));
        }
    }

    #[test]
    fn a_receipt_is_never_too_long(
        mounts in proptest::collection::vec("/[a-z\\\\\"é]{0,200}", 0..130),
        reason in ".{0,3000}",
    ) {
        let mut long = receipt::plain(Stage::PreScript, "id", 0, HoldState::Held, &reason);
        long.frozen = mounts.iter().map(|mount| Frozen {
            mount: mount.clone(), fs: "ext4".into(), dev: "259:1".into(),
            volumes: vec!["vol-0123456789abcdef0".into()],
        }).collect();
        long.left_out = mounts.iter().map(|mount| LeftOut {
            mount: mount.clone(), why: "root filesystem".into(),
        }).collect();
        let line = receipt::line(long);
        prop_assert!(line.chars().count() <= RECEIPT_CHARS_MAX);
        prop_assert!(stillpoint_wire::receipt::find(&line).unwrap().is_some());
        prop_assert_eq!(line.lines().count(), 1);
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Arm),
        Just(Event::AllFrozen),
        Just(Event::Acknowledge),
        Just(Event::AllThawed),
        (0..CAUSES.len(), any::<u16>()).prop_map(|(at, fs)| Event::Stop(CAUSES[at], fs)),
    ]
}

#[test]
fn how_an_acknowledged_hold_ends_for_each_cause() {
    let hold = Hold { phase: Phase::Acknowledged, ..Hold::NEW };
    for cause in CAUSES {
        let end = hold.after(Event::Stop(cause, 3)).map(|hold| hold.end);
        let expected = match cause {
            Cause::ClientGone => None,
            Cause::PostScript => Some(End::Released),
            Cause::Deadline => Some(End::AutoThawed),
            _ => Some(End::Broken),
        };
        assert_eq!(end, expected, "{cause:?}");
    }
    assert!(
        PHASES
            .iter()
            .filter(|phase| Hold { phase: **phase, ..hold }.may_freeze())
            .eq([&Phase::Armed])
    );
    assert_eq!(Hold::decode(0), None);
    assert_eq!(Hold::decode(0xff), None);
}

fn words(text: &str) -> Result<cli::Call, String> {
    cli::parse(text.split_whitespace().map(str::to_owned), Config::default())
}

#[test]
fn the_command_line_and_its_errors() {
    let id = "0A0B0C0D-1111-4222-8333-000000000001";
    let call = words(&format!(
        "pre-script --execution-id {id} --deadline=90s --timeout 2m --volumes vol-1,vol-2"
    ))
    .unwrap();
    assert_eq!(call.execution_id, id.to_lowercase());
    let times = (call.config.deadline, call.config.timeout);
    assert_eq!(times, (Duration::from_secs(90), Duration::from_secs(120)));
    assert_eq!(call.volumes, ["vol-1", "vol-2"]);
    assert_eq!(words("dry-run --execution-id None").unwrap().execution_id, "");
    for (text, named) in [
        ("", "usage"),
        ("freeze", "\"freeze\""),
        ("pre-script", "--execution-id"),
        ("pre-script --execution-id None", "--execution-id"),
        ("post-script --execution-id ../../etc/passwd", "--execution-id"),
        ("dry-run --application oracle", "--application"),
        ("dry-run --deadline 0s", "--deadline"),
        ("dry-run --deadline 1h", "--deadline"),
        ("dry-run --deadline 18446744073709551615m", "--deadline"),
        ("dry-run --timeout 1s", "--timeout"),
        ("dry-run --timeout", "--timeout"),
        ("dry-run --volumes vol-1,", "--volumes"),
        ("dry-run --force", "--force"),
    ] {
        let error = words(text).unwrap_err();
        assert!(error.contains(named), "{text:?}: {error}");
    }
}

#[test]
fn what_lies_on_what_is_frozen_in_order_even_when_mounts_go_in_a_circle() {
    let table = mountinfo::parse(
        b"1 1 254:0 / / rw - ext4 /dev/r rw\n2 1 8:1 / /a rw - ext4 /dev/a rw\n\
          3 2 8:2 / /a/b rw - xfs /dev/b rw\n4 1 8:3 / /c rw - xfs /dev/c rw\n\
          5 1 0:9 / /n rw - nfs4 srv:/n rw\n6 1 8:4 / /v rw - vfat /dev/v rw\n",
    );
    let (candidates, skipped) = targets::select(&table);
    let devs: Vec<Dev> = candidates.iter().map(|one| one.dev).collect();
    assert_eq!(devs, [dev(8, 1), dev(8, 2), dev(8, 3)]);
    let why = |mount: &str| skipped.iter().find(|one| one.mount == mount).unwrap().why.clone();
    assert_eq!(why("/"), "root filesystem");
    assert!(why("/n").contains("network") && why("/v").contains("no freeze"));
    assert_eq!(targets::depths(&candidates, &table, &BTreeMap::new()), [0, 1, 0]);
    let on_b = BTreeMap::from([(dev(8, 3), dev(8, 2))]);
    assert_eq!(targets::depths(&candidates, &table, &on_b), [0, 1, 2]);
    // /a's loop file is on /a/b: the loop decides, the mount order cannot hold.
    let circle = BTreeMap::from([(dev(8, 1), dev(8, 2))]);
    assert_eq!(targets::depths(&candidates, &table, &circle), [1, 0, 0]);
}

#[test]
fn flushing_stops_when_it_is_short_or_does_not_help() {
    let ms = |all: &[u64]| all.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
    let next = |all: &[u64]| flush::next(&ms(all), Duration::from_millis(10));
    assert_eq!(next(&[]), Next::Again);
    assert_eq!(next(&[800]), Next::Again);
    assert_eq!(next(&[5]), Next::Done, "short");
    assert_eq!(next(&[800, 400, 200, 100, 50]), Next::Again, "still shrinking");
    assert_eq!(next(&[800, 760, 790, 740]), Next::Again, "slowly, but shrinking");
    assert_eq!(next(&[800, 790, 800, 795]), Next::Endless, "as fast as the device");
    assert_eq!(next(&[100, 200, 400, 800]), Next::Endless, "faster than the device");
}

#[test]
fn files_are_looked_for_where_much_waits_to_be_written() {
    let worth = |machine: u64, each: Option<&[u64]>| {
        let bytes: Option<Vec<u64>> = each.map(|each| each.iter().map(|mb| mb << 20).collect());
        let Worth { open, closed } = flush::worth_looking(machine << 20, bytes.as_deref());
        (open, closed)
    };
    assert_eq!(worth(7, None), (false, false), "little on the whole machine");
    assert_eq!(worth(8, None), (true, false));
    assert_eq!(worth(32, None), (true, true), "as far as is known, all of it on one");
    assert_eq!(worth(900, Some(&[7, 7, 7])), (false, false), "elsewhere");
    assert_eq!(worth(900, Some(&[0, 9, 0])), (true, false));
    assert_eq!(worth(900, Some(&[4; 8])), (true, true), "they may share a device");
}

#[test]
fn what_the_kernel_counts_for_a_device_is_of_all_control_groups() {
    let text = "WbCgIno: 1\nWbWriteback: 16 kB\nWbReclaimable: 88 kB\nWbDirtied: 7863356 kB\n\
                WbWriteBandwidth: 21460 kBps\n\nWbCgIno: 4098\nWbWriteback: 0 kB\n\
                WbReclaimable: 1024 kB\nstate: 5\n";
    let waiting = |text| backlog::kilobytes(text, &["WbWriteback", "WbReclaimable"]);
    assert_eq!(waiting(text), Some(1_128));
    assert_eq!(waiting("BdiReclaimable: 88 kB\n"), None, "an older kernel's count of one group");
    assert_eq!(waiting("WbReclaimable: much kB\nWbWriteback:\n"), None);
}

proptest! {
    #[test]
    fn a_pace_comes_to_its_end_in_time(
        (bytes, left_ms) in (0_u64..4 << 30, 0_u64..200_000),
        pieces in proptest::collection::vec(0_u64..2 << 20, 0..40),
    ) {
        let (begun_ns, left) = (1_000_000_000, Duration::from_millis(left_ms));
        let spread = pace::spread(bytes, left);
        prop_assert!(spread <= Duration::from_secs(1) && spread <= left / 4);
        // In the past, so that nothing waits.
        let mut pace = Pace::begin(begun_ns, begun_ns + thaw::nanos(left), Some(bytes));
        let mut before = begun_ns;
        for piece in pieces {
            pace.wrote(piece);
            prop_assert!(pace.due_ns() >= before, "the next piece is due earlier than this one");
            before = pace.due_ns();
        }
        prop_assert!(before <= begun_ns + thaw::nanos(spread), "more than was expected takes no longer");
        prop_assert!(!Pace::begin(begun_ns, begun_ns, None).is_spread());
    }
}

#[test]
fn a_postmaster_pid_file() {
    let ready = "123\n/data\n1700000000\n5433\n/run/postgresql\n\n  5432001    98\nready   \n";
    assert_eq!(pgfind::socket(ready).unwrap().to_str(), Some("/run/postgresql/.s.PGSQL.5433"));
    for broken in
        [&ready.replace("ready", "starting"), &ready.replace("/run/postgresql", ""), "123\n/data\n"]
    {
        assert_eq!(pgfind::socket(broken), None, "{broken:?}");
    }
    let passwd = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104::/var:/bin/bash\n";
    assert_eq!(pgfind::user_name(passwd, 101).as_deref(), Some("postgres"));
    assert_eq!(pgfind::user_name(passwd, 7), None);
}
