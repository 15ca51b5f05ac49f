//! `make sim SEEDS=n FROM=seed`: lives through that many nights and prints what came of them.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use stillpoint_sim::{must_reach, night, nights};

/// So many broken nights are told in full.
const TRANSCRIPTS_MAX: usize = 2;

#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let number = |word: Option<String>, otherwise| word.map_or(Some(otherwise), |w| w.parse().ok());
    let (Some(count), Some(from)) = (number(words.next(), 1_000_u64), number(words.next(), 1_u64))
    else {
        println!("usage: sim [SEEDS [FROM]], both whole numbers");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let mut told = 0;
    // For those who only ask whether a promise is broken.
    let stop_at_first = std::env::var_os("SIM_STOP").is_some();
    let report = nights(from, count, threads, stop_at_first, |done| {
        if done >= told + (count / 20).max(500) {
            told = done;
            println!("sim: {done} of {count} seeds, {} s", began.elapsed().as_secs());
            drop(std::io::stdout().flush());
        }
    });
    let transcripts = if stop_at_first { 0 } else { TRANSCRIPTS_MAX };
    for (seed, _) in report.violations.iter().take(transcripts) {
        println!("\nseed {seed}, to be seen again by make sim SEEDS=1 FROM={seed}:");
        for line in night(*seed, true).transcript {
            println!("{line}");
        }
    }
    for (seed, what) in report.violations.iter().take(50) {
        println!("seed {seed}: {what}");
    }
    if std::env::var_os("SIM_LIST").is_some() {
        for one in &report.reached {
            println!("reached {one}");
        }
    }
    let (unreached, known) = (report.unreached(), report.unlisted());
    for one in &unreached {
        println!("not reached: {one}");
    }
    for one in &known {
        println!("taken, and not in the list of what must be reached: {one}");
    }
    let all = must_reach().len();
    println!(
        "sim: {} seeds, {} violations, {} of {all} branches reached, {:.0} s",
        report.nights,
        report.violations.len(),
        all - unreached.len(),
        began.elapsed().as_secs_f64()
    );
    if report.violations.is_empty() && unreached.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
