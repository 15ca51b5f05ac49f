//! A few of the simulator's nights, without optimisation; `make sim` lives through thousands.

#[test]
fn a_few_nights_keep_every_promise() {
    for seed in 1..=60 {
        let night = stillpoint_sim::night(seed, true);
        assert!(night.violations.is_empty(), "{}", night.transcript.join("\n"));
    }
}

#[test]
fn a_night_is_the_same_every_time() {
    let night = || stillpoint_sim::night(7, true).transcript;
    assert_eq!(night(), night());
}
