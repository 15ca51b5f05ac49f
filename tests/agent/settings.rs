//! `/etc/stillpoint/agent.toml`: what is shipped is what holds, what is wrong is named,
//! what is set takes effect, and nobody but root sets it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use stillpoint_agent::apps::login::Login;
use stillpoint_agent::apps::wanted::Wanted;
use stillpoint_agent::cli;
use stillpoint_agent::config::{self, Config, KEYS, OnFailure, Unfreezable};
use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, id};
use super::etc;
use super::slow::{Slow, Writer};

const SHIPPED: &str = include_str!("../../agent/agent.toml");

#[test]
fn the_shipped_file_names_every_key_with_its_default_and_what_it_means() {
    assert_eq!(config::parse(SHIPPED).unwrap(), Config::default());
    let (mut keys, mut section, mut documented) = (Vec::new(), String::new(), false);
    for line in SHIPPED.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(documented, "{key} has no comment above it");
            keys.push(format!("{section}.{key}"));
        }
        documented = line.starts_with('#');
    }
    assert_eq!(keys, KEYS);
}

fn login(user: &str, password_file: &str) -> Login {
    Login { user: user.into(), password_file: Some(password_file.into()) }
}

#[test]
fn every_key_can_be_set_and_none_is_read_as_another() {
    let text = "[freeze]\ndeadline = \"90s\"\ntimeout = \"2m\"\nexpedited_rcu = false\n\
        systemd = false\nleave_out = [\"/scratch\", \"/a b\"]\nunfreezable = \"flush\"\n\
        [flush]\nstall_budget = \"250ms\"\n\
        [hooks]\nenabled = true\ntimeout = \"30\"\non_failure = \"ignore\"\n\
        [applications]\nalso = [\"mysql\", \"hooks\"]\n\
        [mysql]\nuser = \"backup\"\npassword_file = \"/etc/stillpoint/mysql\"\n\
        [redis]\nuser = \"backup\"\npassword_file = \"/etc/stillpoint/redis\"\n\
        [mongodb]\nuser = \"backup\"\npassword_file = \"/etc/stillpoint/mongodb\"\n\
        [sqlserver]\nuser = \"backup\"\npassword_file = \"/etc/stillpoint/mssql\"\n\
        [saphana]\nuser_key = \"BACKUP\"\n";
    let read = config::parse(text).unwrap();
    let hooks = config::Hooks {
        enabled: true,
        timeout: Duration::from_secs(30),
        on_failure: OnFailure::Ignore,
    };
    let expected = Config {
        deadline: Duration::from_secs(90),
        timeout: Duration::from_secs(120),
        expedited_rcu: false,
        systemd: false,
        leave_out: vec!["/scratch".into(), "/a b".into()],
        unfreezable: Unfreezable::Flush,
        stall_budget: Duration::from_millis(250),
        hooks,
        also: vec![Wanted::MySql, Wanted::Hooks],
        mysql: login("backup", "/etc/stillpoint/mysql"),
        redis: login("backup", "/etc/stillpoint/redis"),
        mongodb: login("backup", "/etc/stillpoint/mongodb"),
        sqlserver: login("backup", "/etc/stillpoint/mssql"),
        saphana_key: "BACKUP".into(),
    };
    assert_eq!(read, expected);
    // Each key by itself differs from the defaults, and in no other key than its own.
    let mut alone = Vec::new();
    for key in KEYS {
        let (section, name) = key.split_once('.').unwrap();
        let line = text.lines().skip_while(|line| *line != format!("[{section}]"));
        let line = line.into_iter().find(|line| line.starts_with(&format!("{name} ="))).unwrap();
        let one = config::parse(&format!("[{section}]\n{line}\n")).unwrap();
        assert!(one != Config::default() && !alone.contains(&one), "{key}");
        alone.push(one);
    }
}

#[test]
fn every_mistake_names_its_line_key_value_and_what_is_allowed() {
    for (text, named) in [
        (
            "[freeze]\ndeadline = \"1h\"",
            &["line 2: freeze.deadline = \"1h\"", "between 1s and 600s"][..],
        ),
        ("[freeze]\ndeadline = 60", &["freeze.deadline = 60", "such as \"5s\""]),
        ("freeze.timeout = \"2s\"", &["line 1: freeze.timeout", "between 4s and 3600s"]),
        ("[freeze]\nexpedited_rcu = \"no\"", &["freeze.expedited_rcu = \"no\"", "true or false"]),
        ("[freeze]\nleave_out = \"/data\"", &["freeze.leave_out = \"/data\"", "a list"]),
        ("[freeze]\nleave_out = [\"data\"]", &["freeze.leave_out = [\"data\"]", "slash"]),
        ("[freeze]\nunfreezable = \"ignore\"", &["freeze.unfreezable", "\"refuse\" or \"flush\""]),
        (
            "[flush]\nstall_budget = \"1ms\"",
            &["flush.stall_budget = \"1ms\"", "between 10ms and 10s"],
        ),
        ("[hooks]\ntimeout = \"11m\"", &["hooks.timeout", "between 100ms and 600s"]),
        ("[hooks]\non_failure = true", &["hooks.on_failure = true", "\"fail\" or \"ignore\""]),
        ("applications.also = [\"mysqld\"]", &["applications.also", "mysqld", "postgresql, mysql"]),
        ("mysql.user = 5", &["mysql.user = 5", "a text"]),
        ("mysql.password_file = \"here\"", &["mysql.password_file", "slash"]),
        (
            "[hooks]\ntimeuot = \"5s\"",
            &["line 2: hooks.timeuot = \"5s\"", "no such key", "hooks.timeout"],
        ),
        ("deadline = \"60s\"", &["line 1: deadline", "no such key", "freeze.deadline"]),
        ("[limits]", &["line 1: limits", "no such key"]),
        ("freeze = 3", &["line 1: freeze = 3", "no such key"]),
        ("[freeze]\ndeadline = { s = 3 }", &["freeze.deadline = { s = 3 }", "between"]),
        ("[freeze]\n\ndeadline = = 3", &["line 3:"]),
        ("[freeze]\ndeadline = \"2s\"\ndeadline = \"3s\"", &["line 3:", "duplicate"]),
    ] {
        let problems = config::parse(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text:?}: {problems:?}");
        for word in named {
            assert!(problems[0].contains(word), "{text:?}: {problems:?} lacks {word:?}");
        }
    }
    let many = "[freeze]\ndeadline = 1\ntimeout = 2\nnonsense = 3\n[hooks]\nenabled = 4\n";
    assert_eq!(config::parse(many).unwrap_err().len(), 4, "all at once");
}

#[test]
fn the_command_line_wins_over_the_file() {
    let set = config::parse("[freeze]\ndeadline = \"90s\"\ntimeout = \"20s\"\n").unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let plain = cli::parse(words("dry-run"), set.clone()).unwrap();
    assert_eq!(plain.config, set);
    let won = cli::parse(words("dry-run --deadline 30s"), set.clone()).unwrap();
    assert_eq!(won.config, Config { deadline: Duration::from_secs(30), ..set });
}

#[test]
fn a_wrong_file_refuses_a_hold_but_never_its_end() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    etc::cover(&bed);
    let call = |stage: &str, number: u32| bed.agent(&[stage, "--execution-id", &id(number)]);
    etc::settings("[freeze]\ndeadline = \"soon\"\nno_such = 1\n");
    for stage in ["pre-script", "dry-run"] {
        let refused = call(stage, 1);
        assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused));
        for word in [etc::SETTINGS, "freeze.deadline = \"soon\"", "1s and 600s", "freeze.no_such"] {
            assert!(refused.receipt.reason.contains(word), "{}", refused.receipt.reason);
        }
    }
    assert!(!Path::new("/run/stillpoint").exists(), "nothing was touched");
    for (mode, owner, word) in [(0o666, 0, "0666"), (0o620, 0, "0620"), (0o644, 1, "user 1")] {
        etc::settings("");
        fs::set_permissions(etc::SETTINGS, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(etc::SETTINGS, Some(owner), None).unwrap();
        let refused = call("pre-script", 1);
        assert_eq!(refused.code, 206);
        assert!(refused.receipt.reason.contains(word), "{}", refused.receipt.reason);
        std::os::unix::fs::chown(etc::SETTINGS, Some(0), None).unwrap();
    }
    etc::settings("[freeze]\ndeadline = \"7s\"\n");
    let pre = call("pre-script", 1);
    assert_eq!((pre.code, pre.receipt.hold.unwrap().deadline_ms), (0, 7_000));
    etc::settings("deadline = soon");
    let post = call("post-script", 1);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    bed.all_thawed(&["ext4"]);
}

#[test]
fn mount_points_that_are_named_are_left_out_with_their_volumes() {
    let Some(bed) = Bed::with(&["ext4", "xfs", "btrfs"]) else { return };
    etc::cover(&bed);
    // In this namespace alone, the loop devices look as EBS volumes do: two on one volume.
    super::bed::run("mount", &["-t", "tmpfs", "block", "/sys/dev/block"]);
    for (fs, serial) in [("ext4", "a"), ("xfs", "a"), ("btrfs", "b")] {
        let folder = Path::new("/sys/dev/block").join(bed.device(fs)).join("device");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("serial"), format!("vol0000000000000000{serial}\n")).unwrap();
        fs::write(folder.join("model"), "Amazon Elastic Block Store\n").unwrap();
    }
    let (out, id) = (bed.path("xfs"), id(1));
    let again = bed.path("again");
    fs::create_dir(&again).unwrap();
    super::bed::run("mount", &["--bind", out.to_str().unwrap(), again.to_str().unwrap()]);
    etc::settings(&format!("freeze.leave_out = [{again:?}, \"/not/mounted\"]\n"));
    let pre = bed.agent(&["pre-script", "--execution-id", &id]);
    assert_eq!(pre.code, 0, "{pre:?}");
    assert!(bed.is_frozen("ext4") && !bed.is_frozen("xfs"));
    let left = pre.receipt.left_out.iter().find(|left| left.mount == out.to_str().unwrap());
    assert_eq!(left.unwrap().why, "left out by agent.toml");
    let vouched: Vec<&String> = pre.receipt.frozen.iter().flat_map(|one| &one.volumes).collect();
    assert_eq!(vouched, ["vol-0000000000000000b"], "half of the other is not frozen");
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
}

#[test]
fn the_rcu_switch_stays_alone_where_it_is_turned_off() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    etc::cover(&bed);
    // A file in the place of the switch shows whether it was written to.
    let switch = bed.path("switch");
    fs::write(&switch, "0\n").unwrap();
    super::bed::run("mount", &["--bind", switch.to_str().unwrap(), "/sys/kernel/rcu_expedited"]);
    for (number, (set, expected)) in [("true", "0"), ("false", "0\n")].into_iter().enumerate() {
        etc::settings(&format!("freeze.expedited_rcu = {set}\n"));
        let id = id(u32::try_from(number).unwrap());
        fs::write(&switch, "0\n").unwrap();
        let touched = fs::metadata(&switch).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
        assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
        let written = fs::metadata(&switch).unwrap().modified().unwrap() != touched;
        assert_eq!(written, set == "true");
        assert_eq!(fs::read_to_string(&switch).unwrap().trim(), expected.trim(), "off again");
    }
}

#[test]
fn the_stall_budget_decides_whether_writers_that_never_rest_are_frozen() {
    let Some(bed) = Bed::new() else { return };
    // Each pass over what the writer made dirty meanwhile takes a quarter of a second.
    let Some(slow) = Slow::new(&bed, "ext4", 300, 64_000_000) else { return };
    etc::cover(&bed);
    let writer = Writer::start(&slow.point, "busy", 256 << 10, 16 << 20, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(500));
    let call = |number: u32, budget: &str| {
        etc::settings(&format!("flush.stall_budget = {budget:?}\n"));
        bed.agent(&["pre-script", "--execution-id", &id(number)])
    };
    let tight = call(1, "10ms");
    let loose = call(2, "10s");
    let _ = bed.agent(&["post-script", "--execution-id", &id(2)]);
    drop(writer.end());
    assert_eq!((tight.code, tight.receipt.state), (206, HoldState::Refused), "{tight:?}");
    let reason = &tight.receipt.reason;
    assert!(reason.contains("at most 10 ms are allowed"), "{reason}");
    assert_eq!((loose.code, loose.receipt.state), (0, HoldState::Held), "{loose:?}");
}
