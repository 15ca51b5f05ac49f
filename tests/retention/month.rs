//! A month of hourly and daily sets in virtual time: after each hour, what is there is exactly
//! what the policy says, and what is on its way out.

use stillpoint_retention::{Decision, Keep, Schedule};

use super::{Account, DAY, HOUR, NOW, SETTINGS};

const HOURS: u64 = 30 * 24;

/// Which of the two schedules fires at an hour.
fn schedules_at(hour: u64) -> Vec<String> {
    let daily = (hour % 24 == 3).then(|| "Daily".to_owned());
    std::iter::once("Hourly".to_owned()).chain(daily).collect()
}

#[test]
fn a_month_of_two_schedules_keeps_exactly_what_the_policy_says() {
    let mut account = Account::new(Keep::Count(24));
    let hourly = Schedule { name: "Hourly".into(), ..account.policies[0].schedules[0].clone() };
    let daily = Schedule {
        name: "Daily".into(),
        keep: Keep::Count(7),
        interval_ms: Some(DAY),
        ..hourly.clone()
    };
    account.policies[0].schedules = vec![hourly, daily];
    for hour in 0..HOURS {
        account.now_ms = NOW + hour * HOUR;
        let set = format!("set-{hour:04}");
        account.add(&set, account.now_ms, &["vol-a", "vol-b"]);
        account.change(&set, |one| one.owned.schedules = schedules_at(hour));
        let plan = account.plan();
        account.perform(&plan);
        let stays: Vec<u64> = plan
            .decisions
            .iter()
            .filter(|one| !one.goes())
            .map(|one| one.set_id["set-".len()..].parse().unwrap())
            .collect();
        // The newest 24 of all, the newest 7 of the daily ones, and nothing else.
        let expected = (0..=hour).rev().filter(|made| {
            let newer_daily = (*made + 1..=hour).filter(|one| one % 24 == 3).count();
            hour - made < 24 || (made % 24 == 3 && newer_daily < 7)
        });
        assert_eq!(stays, expected.collect::<Vec<_>>(), "hour {hour}");
        // What goes is gone a day after it was marked.
        let oldest = plan.decisions.iter().filter(|one| one.goes()).map(|one| one.started_ms).min();
        assert!(
            oldest.is_none_or(|oldest| { account.now_ms - oldest <= 8 * DAY + SETTINGS.grace_ms })
        );
        assert!(plan.decisions.len() < 24 + 7 + 25 + 2, "{}", plan.decisions.len());
    }
}

#[test]
fn a_month_by_age_with_an_outage_keeps_what_was_there_when_it_began() {
    let mut account = Account::new(Keep::Age);
    for hour in 0..HOURS {
        account.now_ms = NOW + hour * HOUR;
        // From the 10th to the 20th day no set is made.
        let outage = (10 * 24..20 * 24).contains(&hour);
        if !outage {
            let set = format!("set-{hour:04}");
            account.add(&set, account.now_ms, &["vol-a"]);
        }
        let plan = account.plan();
        account.perform(&plan);
        let stays = plan.decisions.iter().filter(|one| !one.goes()).count() as u64;
        let expected = match hour {
            // Two hours into the outage it is known as one.
            0..48 => hour + 1,
            48..240 => 48,
            240..242 => 48 - (hour - 239),
            242..480 => return_to_outage_start(&plan.decisions, stays),
            480..528 => hour - 480 + 1,
            _ => 48,
        };
        assert_eq!(stays, expected, "hour {hour}");
    }
}

/// All that was there when the outage was seen stays, also what was on its way out.
fn return_to_outage_start(decisions: &[Decision], stays: u64) -> u64 {
    assert_eq!(decisions.len() as u64, stays);
    assert!((48..=48 + 24).contains(&stays), "{stays}");
    stays
}
