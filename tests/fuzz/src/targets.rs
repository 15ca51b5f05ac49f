//! What must hold for any bytes at all where a policy, an event or a command's output is expected.
//! Each target panics where it does not; whoever calls it has bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stillpoint_policy::{
    Assumptions, Attached, Components, Cron, Firing, INLINE_POLICY_ID, Instance, Inventory,
    Managed, Platform, Policy, estimate, parse, plan, set_rules,
};
use stillpoint_wire::{event, receipt, vss};

const NOMINAL: &str = "2026-03-29T01:30:00Z";
const FIRINGS: usize = 5;

/// A policy is taken or refused with lines that say where; what is taken can be planned.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let policy = match parse(INLINE_POLICY_ID, &text) {
        Ok(policy) => policy,
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            for error in errors {
                let line = error.to_string();
                assert!(!error.path.is_empty() && !line.contains('\n'), "{line:?}");
            }
            return;
        }
    };
    let again = parse(INLINE_POLICY_ID, &text);
    assert_eq!(again.as_ref(), Ok(&policy), "the same text is the same policy");
    let nominal: Timestamp = NOMINAL.parse().expect("a time");
    firings(&policy, nominal);
    for schedule in &policy.schedules {
        plans(&policy, &schedule.name, nominal);
    }
}

fn firings(policy: &Policy, after: Timestamp) {
    for schedule in &policy.schedules {
        let cron = schedule.create_rule.cron();
        assert_eq!(Cron::parse(cron.text()).as_ref(), Ok(cron), "an expression reads back");
        let times = policy.next_firings_of(schedule, after, FIRINGS);
        assert!(times.iter().all(|time| *time > after));
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        for time in &times {
            assert!(policy.settings.blackout_at(*time).is_none());
            // Whichever of the schedules of that time is asked: the same rules.
            let rules = set_rules(policy, &schedule.name, Some(*time)).expect("its own schedule");
            assert!(rules.schedule_names.contains(&schedule.name));
            for other in &rules.schedule_names {
                assert_eq!(set_rules(policy, other, Some(*time)).as_ref(), Some(&rules));
            }
        }
    }
    let all = policy.next_firings(after, FIRINGS);
    assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at), "{all:?}");
}

fn plans(policy: &Policy, schedule: &str, nominal: Timestamp) {
    let tags = policy.target_tags.first().map(|tag| (tag.key.clone(), tag.value.clone()));
    let volume = |id: &str, device: &str| Attached {
        volume_id: id.into(),
        device: device.into(),
        size_gib: 100,
        tags: BTreeMap::new(),
    };
    let instance = Instance {
        id: "i-1".into(),
        state: "running".into(),
        platform: Platform::Linux,
        instance_type: "m7g.large".into(),
        tags: tags.into_iter().collect(),
        root_device: "/dev/xvda".into(),
        volumes: vec![volume("vol-0", "/dev/xvda"), volume("vol-1", "/dev/sdf")],
        managed: Managed::Online { agent_version: "3.3.1".into() },
        vss_components: Components::Unknown,
        launched_ms: Some(0),
        backed_up_ms: None,
    };
    let inventory = Inventory { instances: vec![instance] };
    for nominal_text in [nominal.to_string(), "on-demand:1".into()] {
        let firing = Firing {
            schedule: Some(schedule.into()),
            nominal: nominal_text,
            fired_at: nominal,
            instance_ids: None,
        };
        let plan = plan(policy, &firing, &inventory).expect("its own schedule and a time");
        assert_eq!(plan.runs.len() + plan.left_out.len(), 1, "{plan:?}");
        let estimate = estimate(policy, &plan, nominal, &Assumptions::default());
        for value in [estimate.run_secs, estimate.firing_secs, estimate.monthly.total] {
            assert!(value.is_finite() && value >= 0.0, "{estimate:?}");
        }
    }
}

/// A queue's message is an order or a reason, and an order says the same again.
pub fn event(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match event::read_requested(&text) {
        Ok(order) => {
            let requested = event::RunRequested { version: event::EVENT_VERSION, order };
            let detail = serde_json::to_value(&requested).expect("JSON");
            let message =
                serde_json::json!({"detail-type": event::RUN_REQUESTED, "detail": detail});
            assert_eq!(event::read_requested(&message.to_string()), Ok(requested.order));
        }
        Err(why) => assert!(!why.is_empty()),
    }
    // Prices come from people as well.
    if let Err(errors) = Assumptions::read(&text) {
        assert!(!errors.is_empty());
    }
}

/// What a document printed is a receipt, a result, neither, or a reason.
pub fn output(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match receipt::find(&text) {
        Ok(None) => {}
        Ok(Some(found)) => {
            assert_eq!(found.stillpoint, receipt::RECEIPT_VERSION);
            let line = serde_json::to_string(&found).expect("JSON");
            assert_eq!(receipt::find(&line), Ok(Some(found)), "a receipt reads back");
        }
        Err(why) => assert!(!why.is_empty()),
    }
    if let Err(why) = vss::result(&text) {
        assert!(!why.is_empty());
    }
}
