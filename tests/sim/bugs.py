"""Plants bugs in a copy of the engine, one at a time, and shows that the simulator catches each.

    python3 tests/sim/bugs.py [NAME ...]

The copy is made of the sources as they are; a bug is one text replaced by another, which must be
there exactly once. docs/SIMULATOR.md has the list; a test holds both equal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "sim-bugs" / "source"
SEEDS = 40_000
ROOMS = ("Cargo.toml", "Cargo.lock", "agent", "cli", "functions", "shared", "tests", "rustfmt.toml")


class Bug(NamedTuple):
    """One text for another in one file, and what is then not true any more."""

    name: str
    file: str
    before: str
    after: str
    breaks: str


RUN, DRIVE = "shared/run/src/", "shared/drive/src/"
BUGS = [
    Bug("no-post-after-a-failed-pre", RUN + "apply.rs",
        "StageResult::Failed | StageResult::TimedOut | StageResult::Unknown => {\n"
        "                    Phase::PostScript",
        "StageResult::Failed | StageResult::TimedOut | StageResult::Unknown => {\n"
        "                    Phase::Fallback",
        "I4: as with DLM, a pre-script that failed is never followed by a post-script"),
    Bug("no-thaw-after-a-death", RUN + "apply.rs",
        "run.phase = if run.thaw_owed.is_some() { Phase::PostScript } else { Phase::Settle };",
        "run.phase = Phase::Settle;",
        "I4: whoever takes an interrupted run up forgets its thaw"),
    Bug("a-lost-reply-is-sent-again", RUN + "decide.rs",
        "vec![Fact::CreateUncertain(Cause::new(Code::ReplyLost, why.clone()), *call)]",
        "{ let _ = why; vec![Fact::CreatePostponed(*call)] }",
        "I3, I7: CreateSnapshots is repeated after a lost reply"),
    Bug("another-attempt-after-a-lost-reply", RUN + "decide.rs",
        "Code::CreateRefused | Code::InstanceGone | Code::ReplyLost | Code::VssUncertain",
        "Code::CreateRefused | Code::InstanceGone | Code::VssUncertain",
        "I3: a set that comes into being late is the second one"),
    Bug("the-set-is-forgotten", RUN + "apply.rs",
        "run.set = Some(set.clone());\n            run.create = Some(*call);",
        "run.create = Some(*call);",
        "I3: a run that has its set makes another"),
    Bug("begun-long-after-its-window", RUN + "decide.rs",
        "Fact::Interrupted { over: now_ms > run.order.start_before_ms }",
        "Fact::Interrupted { over: now_ms > u64::MAX - run.order.start_before_ms }",
        "I6: a run is taken up hours later as if it were in time"),
    Bug("the-thaw-is-not-on-record", RUN + "owed.rs",
        "Phase::New | Phase::PostScript => false,\n        Phase::PreScript\n        | Phase::Vss",
        "Phase::New | Phase::PostScript | Phase::PreScript => false,\n        Phase::Vss",
        "I4: the pre-script is sent before its thaw is on record"),
    Bug("written-down-inside-the-window", RUN + "owed.rs",
        "Phase::Snapshot => run.thaw_owed.is_none() || run.pre.is_none(),\n"
        "        Phase::New | Phase::PostScript => false,",
        "Phase::Snapshot => true,\n        Phase::New | Phase::PostScript => false,",
        "I7: the ledger is written while writers wait"),
    Bug("post-only-is-not-reserved", RUN + "owed.rs",
        "// Also where the policy runs only POST: a thaw is owed, and nothing is held.\n"
        "        Phase::Snapshot => run.thaw_owed.is_none() || run.pre.is_none(),",
        "Phase::Snapshot => run.thaw_owed.is_none(),",
        "I7: a policy that runs only POST calls CreateSnapshots without a reservation"),
    Bug("an-overtaken-pre-is-forgotten", RUN + "decide.rs",
        "let again = if released { overtook } else { run.post_tries < allowed || overtook };",
        "let _ = overtook; let again = !released && run.post_tries < allowed;",
        "I4: a post-script that overtook its pre-script is believed"),
    Bug("the-pre-script-is-skipped", RUN + "apply.rs",
        "let has_pre = run.order.script.as_ref().is_some_and(|script| script.pre);",
        "let has_pre = false;",
        "I2: nothing is quiesced although the policy asks for it"),
    Bug("203-is-called-claimed", RUN + "verdict.rs",
        "(StageResult::Failed, Some(203)) => (\n            Consistency::Crash,",
        "(StageResult::Failed, Some(203)) => (\n            Consistency::Claimed,",
        "I2: a set is called claimed although the document says that the deadline came first"),
    Bug("a-failed-script-is-a-success", DRIVE + "command.rs",
        "ended(StageResult::Failed, command_id, exit_code, proof, Some(cause))",
        "{ let _ = cause; ended(StageResult::Ok, command_id, exit_code, proof, None) }",
        "I2: the exit code of a script is not looked at"),
    Bug("two-drivers", DRIVE + "advance.rs",
        "if recorded.lease.until_ms > now_ms => {",
        "if recorded.lease.until_ms == u64::MAX => {",
        "I3, I4: a second delivery drives a run whose driver is alive"),
    Bug("no-fencing", DRIVE + "advance.rs",
        "Ok(recorded.is_some_and(|recorded| recorded == ours))",
        "Ok(recorded.is_some_and(|recorded| recorded.run.order == ours.run.order))",
        "I3: a driver that was overtaken takes the other's record for its own"),
    Bug("no-reservation", DRIVE + "advance.rs",
        "let Slot::At(at_ms) = outside.reserve(by_ms).await? else { return Ok(None) };",
        "let Slot::At(at_ms) = Slot::At(outside.now_ms()) else { return Ok(None) };",
        "I7: CreateSnapshots is called without a reservation"),
    Bug("the-budget-is-not-counted", "shared/budget/src/lib.rs",
        "let at_us = now_us.max(full_at_us.saturating_sub(depth));",
        "let at_us = now_us; let _ = depth;",
        "I7: every call is granted at once"),
    Bug("no-event", DRIVE + "perform.rs",
        "repeat(outside, || outside.publish(RUN_FINISHED, vec![detail.clone()])).await",
        "drop(detail); Ok(())",
        "I6: a run ends, and nobody is told"),
    Bug("somebody-elses-answer", DRIVE + "batch/mod.rs",
        "states.iter().find(|(id, _)| id == instance_id)",
        "states.iter().max_by_key(|(id, state)| (state.exit_code == Some(0), id))",
        "I2, I7: one instance's answer is taken for another's"),
    Bug("only-the-firsts-volumes", DRIVE + "batch/merge.rs",
        "group.iter().flat_map(volumes).collect();",
        "volumes(first).into_iter().collect();",
        "I2: a command for several instances tells the volumes of one of them"),
    Bug("one-id-for-two-policies", "shared/wire/src/ids.rs",
        'let mut bytes = digest(&["execution", policy_id, schedule_name, nominal_time, &attempt]);',
        'let _ = policy_id;\n    let mut bytes = digest(&["execution", schedule_name, nominal_time,'
        " &attempt]);",
        "I4: two runs of one instance have the same execution id"),
    Bug("one-run-for-all-instances", "shared/wire/src/ids.rs",
        'let hash = digest(&["run", policy_id, schedule, nominal_time, instance_id]);',
        'let _ = instance_id;\n    let hash = digest(&["run", policy_id, schedule, nominal_time]);',
        "I6: the second instance of a firing is taken for the first"),
    Bug("not-on-record-before-it-is-asked-for", "functions/planner/src/handler.rs",
        "put_on_record(account, orders, request_id).await?;",
        "put_on_record(account, &orders[..0], request_id).await?;",
        "I6: a request that is lost was never expected by anybody"),
    Bug("the-guard-finishes-nothing", "functions/guard/src/overdue.rs",
        "if recorded.run.phase != Phase::Done && !waits {",
        "if recorded.run.phase == Phase::Done && !waits {",
        "I6: runs whose request is lost or whose driver died for good stay unfinished"),
    Bug("nobody-is-told-what-is-missing", "functions/guard/src/handler.rs",
        '[("RunsMissing", missing, Unit::Count)]',
        '[("RunsMissing", missing / 1_000, Unit::Count)]',
        "I6: a firing that never came raises no alarm"),
    Bug("every-policy-has-dlms-window", "functions/guard/src/firings.rs",
        "Ok(minutes(within.unwrap_or(START_WITHIN_MINUTES)))",
        "let _ = within;\n    Ok(minutes(START_WITHIN_MINUTES))",
        "I6: of a policy with another start window a missing firing is told too late, or too early"),
    Bug("a-broken-hold-is-released", "agent/src/hold.rs",
        "_ => End::Broken,", "_ => End::Released,",
        "I2: a hold whose holder was killed is called unbroken"),
    Bug("no-deadline", "agent/src/hold.rs",
        "(Phase::Acknowledged, Event::Stop(Cause::ClientGone, _)) => None,",
        "(Phase::Acknowledged, Event::Stop(Cause::ClientGone | Cause::Deadline, _)) => None,",
        "I1: what is held stays held when nobody comes"),
]


def copy() -> None:
    """The sources as they are, without what was built from them."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    skip = shutil.ignore_patterns("target", "node_modules", ".venv", "__pycache__", "fixtures")
    for room in ROOMS:
        source = ROOT / room
        if source.is_dir():
            # With new times: cargo would take a file that is older than its build for built.
            shutil.copytree(source, COPY / room, ignore=skip, copy_function=shutil.copy)
        else:
            shutil.copy(source, COPY / room)


def build() -> None:
    # Quick to build; a bug is found in the first thousand seeds or not at all.
    fast = {"CARGO_PROFILE_SIM_OPT_LEVEL": "1", "CARGO_TARGET_DIR": str(COPY.parent / "target")}
    subprocess.run(
        ["cargo", "build", "--quiet", "--offline", "--profile", "sim", "-p", "stillpoint-sim"],
        cwd=COPY, env=os.environ | fast | {"RUSTFLAGS": "--cap-lints allow"}, check=True)


def violations() -> str:
    """The first promise that was found broken; empty if none was."""
    program = COPY.parent / "target" / "sim" / "sim"
    ended = subprocess.run([program, str(SEEDS)], capture_output=True, text=True, check=False,
                           env=os.environ | {"SIM_STOP": "1"})
    found = [line for line in ended.stdout.splitlines()
             if line.startswith("seed ") and ": " in line]
    return found[0] if found else ""


def plant(bug: Bug) -> str:
    """What the simulator says of the engine with this bug."""
    target = COPY / bug.file
    whole = target.read_text()
    assert whole.count(bug.before) == 1, f"{bug.name}: {bug.file} has changed"
    target.write_text(whole.replace(bug.before, bug.after))
    try:
        build()
        return violations()
    finally:
        target.write_text(whole)


def main(names: list[str]) -> int:
    wanted = [bug for bug in BUGS if not names or bug.name in names]
    if unknown := set(names) - {bug.name for bug in wanted}:
        sys.exit(f"no such bug: {', '.join(sorted(unknown))}")
    copy()
    build()
    if said := violations():
        sys.exit(f"without any bug: {said}")
    missed = 0
    for bug in wanted:
        began = time.monotonic()
        said = plant(bug)
        missed += not said
        seconds = f"{time.monotonic() - began:.0f} s"
        print(f"{'caught' if said else 'MISSED'}  {bug.name} ({seconds}): {said}", flush=True)
    print(f"sim-bugs: {len(wanted) - missed} of {len(wanted)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
