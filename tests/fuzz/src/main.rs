//! libFuzzer on one of the targets, which the environment names.
#![no_main]

mod targets;

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> =
    LazyLock::new(|| match std::env::var("FUZZ_TARGET").as_deref() {
        Ok("policy") => targets::policy,
        Ok("event") => targets::event,
        Ok("output") => targets::output,
        other => panic!("FUZZ_TARGET: found {other:?}, allowed policy, event or output"),
    });

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
