//! Cron expressions against dates taken from a calendar, and against what is no expression.

use serde_json::json;
use stillpoint_policy::Cron;

use super::{changed, problems};

/// The next firings after a time, as text.
fn next(expression: &str, after: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(expression).unwrap_or_else(|errors| panic!("{expression}: {errors:?}"));
    let after = after.parse().expect("a time");
    cron.next_after(after, count).iter().map(ToString::to_string).collect()
}

fn check(expression: &str, after: &str, expected: &[&str]) {
    let expected: Vec<String> = expected
        .iter()
        .map(|time| if time.len() == 16 { format!("{time}:00Z") } else { (*time).to_owned() })
        .collect();
    assert_eq!(next(expression, after, expected.len()), expected, "{expression} after {after}");
}

#[test]
fn days_and_hours() {
    let noon = "2026-03-10T12:00:00Z"; // a Tuesday
    check("cron(0 3 * * ? *)", noon, &["2026-03-11T03:00", "2026-03-12T03:00"]);
    check(
        "cron(15 0/6 * * ? *)",
        noon,
        &["2026-03-10T12:15", "2026-03-10T18:15", "2026-03-11T00:15"],
    );
    check(
        "cron(0 8-10 * * ? *)",
        noon,
        &["2026-03-11T08:00", "2026-03-11T09:00", "2026-03-11T10:00"],
    );
    check(
        "cron(0 22-2/2 * * ? *)",
        noon,
        &["2026-03-10T22:00", "2026-03-11T00:00", "2026-03-11T02:00"],
    );
    check("cron(0 1,13 * * ? *)", noon, &["2026-03-10T13:00", "2026-03-11T01:00"]);
    check(
        "cron(30 5 1/10 * ? *)",
        noon,
        &["2026-03-11T05:30", "2026-03-21T05:30", "2026-03-31T05:30", "2026-04-01T05:30"],
    );
    check("cron(0 0 1 JAN,jul ? *)", noon, &["2026-07-01T00:00", "2027-01-01T00:00"]);
    check("cron(0 */8 * * ? *)", noon, &["2026-03-10T16:00", "2026-03-11T00:00"]);
}

#[test]
fn a_firing_is_after_the_time_and_not_at_it() {
    check("cron(0 3 * * ? *)", "2026-03-10T03:00:00Z", &["2026-03-11T03:00"]);
    check("cron(0 3 * * ? *)", "2026-03-10T02:59:59.999999999Z", &["2026-03-10T03:00"]);
    check("cron(0 3 * * ? *)", "2026-03-10T03:00:00.000000001Z", &["2026-03-11T03:00"]);
}

#[test]
fn weekdays_count_from_sunday() {
    let tuesday = "2026-03-10T12:00:00Z";
    check("cron(0 5 ? * 1 *)", tuesday, &["2026-03-15T05:00", "2026-03-22T05:00"]);
    check("cron(0 5 ? * SUN *)", tuesday, &["2026-03-15T05:00", "2026-03-22T05:00"]);
    check("cron(0 5 ? * 7 *)", tuesday, &["2026-03-14T05:00"]);
    check(
        "cron(0 5 ? * MON-FRI *)",
        tuesday,
        &["2026-03-11T05:00", "2026-03-12T05:00", "2026-03-13T05:00", "2026-03-16T05:00"],
    );
    check(
        "cron(0 5 ? * sat-mon *)",
        tuesday,
        &["2026-03-14T05:00", "2026-03-15T05:00", "2026-03-16T05:00", "2026-03-21T05:00"],
    );
    check(
        "cron(0 5 ? * 2/2 *)",
        tuesday,
        &["2026-03-11T05:00", "2026-03-13T05:00", "2026-03-16T05:00"],
    );
    check("cron(0 5 ? * L *)", tuesday, &["2026-03-14T05:00", "2026-03-21T05:00"]);
    check("cron(0 5 ? * * *)", tuesday, &["2026-03-11T05:00", "2026-03-12T05:00"]);
}

#[test]
fn the_nth_and_the_last_of_a_weekday() {
    let january = "2026-01-01T00:00:00Z";
    check(
        "cron(0 4 ? * 6#3 *)",
        january,
        &["2026-01-16T04:00", "2026-02-20T04:00", "2026-03-20T04:00"],
    );
    check("cron(0 4 ? * THU#1 *)", january, &["2026-01-01T04:00", "2026-02-05T04:00"]);
    check(
        "cron(0 4 ? * 6#5 *)",
        january,
        &["2026-01-30T04:00", "2026-05-29T04:00", "2026-07-31T04:00"],
    );
    check(
        "cron(0 4 ? * 6L *)",
        january,
        &["2026-01-30T04:00", "2026-02-27T04:00", "2026-03-27T04:00"],
    );
    check("cron(0 4 ? * SATL *)", january, &["2026-01-31T04:00", "2026-02-28T04:00"]);
    check(
        "cron(0 4 ? * MON#1 *)",
        "2025-11-30T00:00:00Z",
        &["2025-12-01T04:00", "2026-01-05T04:00"],
    );
}

#[test]
fn ends_of_months() {
    check(
        "cron(0 1 L * ? *)",
        "2028-01-31T02:00:00Z",
        &["2028-02-29T01:00", "2028-03-31T01:00", "2028-04-30T01:00"],
    );
    check(
        "cron(0 1 L 2 ? *)",
        "2026-01-01T00:00:00Z",
        &["2026-02-28T01:00", "2027-02-28T01:00", "2028-02-29T01:00"],
    );
    check(
        "cron(0 1 31 * ? *)",
        "2026-01-31T02:00:00Z",
        &["2026-03-31T01:00", "2026-05-31T01:00", "2026-07-31T01:00", "2026-08-31T01:00"],
    );
    check(
        "cron(0 1 29,30 * ? *)",
        "2028-02-01T00:00:00Z",
        &["2028-02-29T01:00", "2028-03-29T01:00", "2028-03-30T01:00"],
    );
    check("cron(0 1 29,30 * ? *)", "2100-02-01T00:00:00Z", &["2100-03-29T01:00"]);
    check("cron(59 23 L * ? *)", "2026-12-30T00:00:00Z", &["2026-12-31T23:59", "2027-01-31T23:59"]);
}

#[test]
fn the_nearest_weekday_stays_in_its_month() {
    // 2026: 1 Feb and 1 Nov are Sundays, 1 Aug is a Saturday, 31 May is a Sunday, 31 Oct a Saturday.
    check("cron(0 6 1W * ? *)", "2026-01-15T00:00:00Z", &["2026-02-02T06:00", "2026-03-02T06:00"]);
    check("cron(0 6 1W * ? *)", "2026-07-15T00:00:00Z", &["2026-08-03T06:00", "2026-09-01T06:00"]);
    check(
        "cron(0 6 31W * ? *)",
        "2026-04-01T00:00:00Z",
        &["2026-05-29T06:00", "2026-07-31T06:00", "2026-08-31T06:00", "2026-10-30T06:00"],
    );
    check("cron(0 6 15W * ? *)", "2026-02-01T00:00:00Z", &["2026-02-16T06:00", "2026-03-16T06:00"]);
    check("cron(0 6 15w 8 ? *)", "2026-02-01T00:00:00Z", &["2026-08-14T06:00"]);
    check(
        "cron(0 6 LW * ? *)",
        "2026-01-01T00:00:00Z",
        &[
            "2026-01-30T06:00",
            "2026-02-27T06:00",
            "2026-03-31T06:00",
            "2026-04-30T06:00",
            "2026-05-29T06:00",
        ],
    );
}

#[test]
fn the_turn_of_the_year_and_the_end_of_the_series() {
    check("cron(0 0 1 * ? *)", "2026-12-01T00:00:00Z", &["2027-01-01T00:00", "2027-02-01T00:00"]);
    check("cron(0 3 ? 12-1 MON *)", "2026-12-28T03:00:00Z", &["2027-01-04T03:00"]);
    assert_eq!(next("cron(0 3 * * ? 2026)", "2026-12-30T12:00:00Z", 9), ["2026-12-31T03:00:00Z"]);
    assert_eq!(next("cron(0 3 * * ? 2026)", "2027-01-01T00:00:00Z", 9), [""; 0]);
    assert_eq!(next("cron(0 3 1 1 ? 2030)", "1969-01-01T00:00:00Z", 9), ["2030-01-01T03:00:00Z"]);
    assert_eq!(next("cron(0 3 31 12 ? *)", "2198-12-31T03:00:00Z", 9), ["2199-12-31T03:00:00Z"]);
    assert_eq!(next("cron(0 3 * * ? *)", "2026-01-01T00:00:00Z", 0), [""; 0]);
    check(
        "cron(0 3 1 1 ? 2026-2030/2,2027,2029)",
        "2026-06-01T00:00:00Z",
        &["2027-01-01T03:00", "2028-01-01T03:00"],
    );
}

#[test]
fn firings_are_at_least_an_hour_and_at_most_a_year_apart() {
    for fine in [
        "cron(59 * * * ? *)",
        "cron(0 0 1 1 ? *)",
        "cron(0 0 ? 1 2#1 *)",
        "cron(0 0 31W 12 ? *)",
        "cron(0 0 29 2 ? 2028)",
        "cron(0 0 1 1 ? 2030)",
        "cron(0 0 1 1,7 ? 2026-2030)",
    ] {
        assert!(Cron::parse(fine).is_ok(), "{fine}");
    }
    let minute = |found: &str| {
        format!(
            "minute: found {found:?}, allowed one minute of the hour: DLM's firings are at least \
             1 hour apart"
        )
    };
    let rare = |found: &str| {
        format!(
            "expression: found {found:?}, allowed firings at most 1 year apart, or a single one"
        )
    };
    let never = |found: &str| {
        format!(
            "expression: found {found:?}, allowed an expression that fires at least once up to 2199"
        )
    };
    for (text, expected) in [
        ("cron(0/30 * * * ? *)", minute("0/30")),
        ("cron(* 3 * * ? *)", minute("*")),
        ("cron(0,1 3 1 1 ? *)", minute("0,1")),
        ("cron(0 0 29 2 ? *)", rare("cron(0 0 29 2 ? *)")),
        ("cron(0 0 ? 3 6#5 *)", rare("cron(0 0 ? 3 6#5 *)")),
        ("cron(0 0 1 1 ? 2026/2)", rare("cron(0 0 1 1 ? 2026/2)")),
        ("cron(0 0 30 2 ? *)", never("cron(0 0 30 2 ? *)")),
        ("cron(0 0 31W 4,6 ? *)", never("cron(0 0 31W 4,6 ? *)")),
        ("cron(0 0 29 2 ? 2027)", never("cron(0 0 29 2 ? 2027)")),
    ] {
        assert_eq!(refusals(text), [expected]);
    }
}

fn refusals(text: &str) -> Vec<String> {
    match Cron::parse(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn each_field_is_refused_by_its_name() {
    let allowed = [
        ("minute", "0 to 59 with , - * /"),
        ("hour", "0 to 23 with , - * /"),
        ("day-of-month", "1 to 31 with , - * /, or one of ?, L, LW, 15W"),
        ("month", "1 to 12 or JAN to DEC with , - * /"),
        ("day-of-week", "1 to 7 or SUN to SAT (1 is SUN) with , - * /, or one of ?, L, 6L, 6#3"),
        ("year", "1970 to 2199 with , - * /"),
    ];
    let wrong: [&[&str]; 6] = [
        &["60", "-1", "a", "0/0", "0/60", "?", "L", "1,", ",", "1-", "*,1", "1/", "+1", "1//2"],
        &["24", "0-24", "5/24", "W", "1-2-3"],
        &["0", "32", "0W", "32W", "W", "1W,15W", "L,1", "L-3", "1/32", "WL", "1L", "1#1", "?,1"],
        &["0", "13", "1/13", "JANUARY", "MON", "L"],
        &["0", "8", "0#1", "6#0", "6#6", "6#", "#3", "3#1,6#3", "6L,2L", "1W", "LW", "1/8", "JAN"],
        &["1969", "2200", "2030-2026", "26", "2026/300"],
    ];
    for (index, texts) in wrong.iter().enumerate() {
        for text in *texts {
            let mut fields = ["0", "3", "*", "*", "?", "*"];
            fields[index] = text;
            if index == 4 {
                fields[2] = "?";
            }
            let (name, allowed) = allowed[index];
            let expected = format!("{name}: found {text:?}, allowed {allowed}");
            assert_eq!(refusals(&format!("cron({})", fields.join(" "))), [expected]);
        }
    }
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let fields: Vec<String> = refusals("cron(60 24 32 13 ? 1969)")
        .iter()
        .filter_map(|line| line.split(':').next().map(str::to_owned))
        .collect();
    assert_eq!(fields, ["minute", "hour", "day-of-month", "month", "year"]);
}

#[test]
fn exactly_one_day_field_is_a_question_mark() {
    assert_eq!(
        refusals("cron(0 3 ? * ? *)"),
        [
            "day-of-week: found \"? in both day-of-month and day-of-week\", allowed ? in exactly one \
          of them"
        ]
    );
    for week in ["*", "MON", "8"] {
        assert_eq!(
            refusals(&format!("cron(0 3 * * {week} *)")),
            [format!(
                "day-of-week: found \"{week} beside day-of-month *\", allowed ? in exactly one of \
                 day-of-month and day-of-week"
            )]
        );
    }
}

#[test]
fn what_is_no_cron_expression_at_all() {
    let form = "cron(minute hour day-of-month month day-of-week year); DLM has no rate() or at()";
    for text in [
        "",
        "0 3 * * ? *",
        "rate(1 day)",
        "at(2026-01-01T00:00:00)",
        "cron(0 3 * * ? *",
        "CRON(0 3 * * ? *)",
        " cron(0 3 * * ? *)",
        "cron(0 3\n* * ? *)",
    ] {
        assert_eq!(refusals(text), [format!("expression: found {text:?}, allowed {form}")]);
    }
    for (text, found) in [("cron(0 3 * * ?)", "15 characters"), ("cron()", "6 characters")] {
        assert_eq!(
            refusals(text),
            [format!("expression: found {found:?}, allowed 17 to 106 characters")]
        );
    }
    let long = format!("cron(0 3 * * ? {}*)", " ".repeat(90));
    assert_eq!(
        refusals(&long),
        ["expression: found \"107 characters\", allowed 17 to 106 characters"]
    );
    assert_eq!(refusals(&long.replacen("  ", " ", 1)), [""; 0]);
    assert_eq!(
        refusals("cron(0 3 * * ? * *)"),
        ["expression: found \"7 fields\", allowed 6 fields: minute hour day-of-month month \
          day-of-week year"]
    );
}

#[test]
fn a_policy_says_which_field_of_its_expression_is_wrong() {
    let path = "/Schedules/1/CreateRule/CronExpression";
    let place = "PolicyDetails.Schedules[1].CreateRule.CronExpression";
    assert_eq!(
        problems(&changed(&[(path, Some(json!("cron(0 25 ? * SUNDAY *)")))])),
        [
            format!("{place}: found hour \"25\", allowed 0 to 23 with , - * /"),
            format!(
                "{place}: found day-of-week \"SUNDAY\", allowed 1 to 7 or SUN to SAT (1 is SUN) \
                 with , - * /, or one of ?, L, 6L, 6#3"
            ),
        ]
    );
    assert_eq!(
        problems(&changed(&[(path, Some(json!(5)))])),
        [format!("{place}: found 5, allowed a string")]
    );
}
