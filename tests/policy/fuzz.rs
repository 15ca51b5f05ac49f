//! The fuzz targets of `make fuzz` for a moment and without coverage: the corpus, mutated.
//!
//! `FUZZ_INPUTS=n` and `FUZZ_SEED=n` make it longer and different; a failure prints its input.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const INPUTS: u64 = 400;
const MAX_BYTES: usize = 16_384;

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or(0) % limit.max(1)
    }
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("seeds")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_none_or(|end| end != "golden"))
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

fn mutated(numbers: &mut Numbers, seeds: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + numbers.below(24)).min(bytes.len());
        match numbers.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
            3 => {
                let word = words[numbers.below(words.len())].clone();
                bytes.splice(at..end, word);
            }
            4 => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len());
                let until = (from + numbers.below(200)).min(other.len());
                bytes.splice(at..end, other[from..until].iter().copied());
            }
            _ => {
                let number = ["0", "-1", "1e400", "4294967296", "18446744073709551616", "0.5"];
                bytes.splice(at..end, number[numbers.below(number.len())].bytes());
            }
        }
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn run(target: fn(&[u8]), folder: &str) {
    let seeds = files(folder);
    let words = include_str!("../fuzz/words.dict").lines();
    let words: Vec<Vec<u8>> = words.map(|line| line.as_bytes().to_vec()).collect();
    let seed = environment("FUZZ_SEED", 1).max(1);
    let mut numbers = Numbers(seed);
    let all = seeds.iter().cloned().map(Some);
    let more = (0..environment("FUZZ_INPUTS", INPUTS)).map(|_| None);
    for input in all.chain(more) {
        let input = input.unwrap_or_else(|| mutated(&mut numbers, &seeds, &words));
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            panic!("FUZZ_SEED={seed}: {:?}", String::from_utf8_lossy(&input));
        }
    }
}

#[test]
fn any_policy() {
    run(targets::policy, "fixtures/policies");
}

#[test]
fn any_event() {
    run(targets::event, "fuzz/seeds/event");
}

#[test]
fn any_output() {
    run(targets::output, "fuzz/seeds/output");
}
