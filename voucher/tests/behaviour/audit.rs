//! The audit log: as the RFC writes it, as its grammar says, and what policy makes of it.

use brski_voucher::ContentError;
use brski_voucher::artefact::Assertion;
use brski_voucher::audit::{
    AssertionRule, AuditLog, AuditLogError, AuditPolicy, AuditViolation, DomainId, NoncelessRule,
    TruncationRule, evaluate, own_domains,
};

use crate::support::World;

/// The shape of RFC 8995 §5.8.1's own example, whose numbers are strings.
const STRINGS: &str = r#"{"version":"1","events":[
    {"date":"2019-05-15T17:25:55.644-04:00","domainID":"AQIDBA==","nonce":"VOUFT-WwrEv0NuAQEHoV7Q","assertion":"proximity","truncated":"0"},
    {"date":"2017-05-15T17:25:55.644-04:00","domainID":"AQIDBA==","nonce":null,"assertion":"as-you-like-it","more":{}}],
    "truncation":{"nonced duplicates":"0","nonceless duplicates":"1","arbitrary":"2"},"unknown":[1]}"#;

fn log(text: &str) -> AuditLog {
    AuditLog::parse(text.as_bytes()).unwrap()
}

fn domain(octets: &[u8]) -> DomainId {
    DomainId::new(octets.to_vec())
}

#[test]
fn reads_numbers_and_strings_alike() {
    let strings = log(STRINGS);
    let numbers = log(&STRINGS.replace("\"1\"", "1").replace("\"0\"", "0").replace("\"2\"", "2"));
    assert_eq!(strings, numbers);
    assert_eq!((strings.version(), strings.is_known_version()), (1, true));
    let truncation = strings.truncation();
    assert_eq!(
        (truncation.nonced_duplicates, truncation.nonceless_duplicates, truncation.arbitrary),
        (0, 1, 2)
    );
    let [first, second] = strings.events() else {
        panic!("two events");
    };
    assert_eq!(first.date().seconds(), 1_557_955_555);
    assert_eq!(*first.domain(), domain(&[1, 2, 3, 4]));
    assert_eq!(first.nonce(), Some("VOUFT-WwrEv0NuAQEHoV7Q"));
    assert_eq!(first.known_assertion(), Some(Assertion::Proximity));
    assert_eq!((second.nonce(), second.known_assertion()), (None, None));
    assert_eq!(first.domain().to_string(), "AQIDBA==");
    assert_eq!(format!("{:?}", first.domain()), "01020304");
    assert_eq!(second.assertion(), "as-you-like-it");
}

#[test]
fn reads_a_log_without_truncation_and_of_a_later_version() {
    let read = log(r#"{"version":7,"events":[]}"#);
    assert!(!read.is_known_version() && read.events().is_empty());
    assert_eq!(read.version(), 7);
}

#[test]
fn refuses_what_is_no_log() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"version":1}"#,
        r#"{"version":-1,"events":[]}"#,
        r#"{"version":"one","events":[]}"#,
        r#"{"version":"+1","events":[]}"#,
        r#"{"version":1,"version":1,"events":[]}"#,
        r#"{"version":1,"events":[{"date":"2019-05-15T17:25:55Z","domainID":"AA=="}]}"#,
        r#"{"version":1,"events":[{"date":"now","domainID":"AA==","assertion":"logged"}]}"#,
        r#"{"version":1,"events":[{"date":"2019-05-15T17:25:55Z","domainID":"*","assertion":"logged"}]}"#,
        r#"{"version":1,"events":[]} "#.trim_end().strip_suffix('}').unwrap(),
    ] {
        assert!(
            matches!(AuditLog::parse(text.as_bytes()), Err(AuditLogError::Content(_))),
            "{text}"
        );
    }
    let error = AuditLog::parse(br#"{"version":true,"events":[]}"#).unwrap_err().to_string();
    assert!(error.contains("expected an unsigned number, or one as a string"), "{error}");
    let base64 = r#"{"version":1,"events":[{"date":"2019-05-15T17:25:55Z","domainID":"*","assertion":"x"}]}"#;
    let error = AuditLog::parse(base64.as_bytes()).unwrap_err();
    let AuditLogError::Content(ContentError::Base64 { member: "domainID" }) = error else {
        panic!("{error}");
    };
}

#[test]
fn refuses_logs_without_bounds() {
    let long = vec![b' '; 64 * 1024 + 1];
    assert!(matches!(AuditLog::parse(&long), Err(AuditLogError::TooLong { octets: 65537 })));
    let event = r#"{"date":"2019-05-15T17:25:55Z","domainID":"","assertion":""}"#;
    let events = vec![event; 1025].join(",");
    let text = format!(r#"{{"version":1,"events":[{events}]}}"#);
    let error = AuditLog::parse(text.as_bytes()).unwrap_err();
    assert!(matches!(error, AuditLogError::TooManyEvents { events: 1025 }));
    let events = vec![event; 1024].join(",");
    let mut text = format!(r#"{{"version":1,"events":[{events}]}}"#);
    text.push_str(&" ".repeat(64 * 1024 - text.len()));
    assert_eq!(log(&text).events().len(), 1024);
}

#[test]
fn names_this_domain_by_each_certificate_that_may_be_pinned() {
    let world = World::new();
    let own = own_domains(&world.registrar_chain());
    let root = world.domain.certificate.subject_key_identifier().unwrap();
    assert_eq!(own[1].as_octets(), root);
    // The registrar's certificate of this test has no SKI, so that its key is digested.
    assert_eq!(own[0].as_octets().len(), 32);
}

fn policy() -> AuditPolicy {
    AuditPolicy {
        own: vec![domain(&[9])],
        accepted: vec![domain(&[1, 2, 3, 4])],
        nonceless: NoncelessRule::AcceptedDomains,
        assertions: AssertionRule::Any,
        truncation: TruncationRule::Accepted,
        since: None,
    }
}

#[test]
fn accepts_a_past_that_policy_allows() {
    assert_eq!(evaluate(&log(STRINGS), &policy()), []);
}

#[test]
fn refuses_foreign_domains_unless_before_the_purchase() {
    let foreign = AuditPolicy { accepted: Vec::new(), ..policy() };
    let violations = evaluate(&log(STRINGS), &foreign);
    assert_eq!(violations.len(), 2);
    assert!(violations.iter().all(|each| matches!(
        each,
        AuditViolation::ForeignDomain { domain: found, .. } if *found == domain(&[1, 2, 3, 4])
    )));
    let bought = AuditPolicy { since: Some(1_500_000_000), ..foreign.clone() };
    assert_eq!(evaluate(&log(STRINGS), &bought).len(), 1);
    let later = AuditPolicy { since: Some(1_557_955_556), ..foreign };
    assert_eq!(evaluate(&log(STRINGS), &later), []);
}

#[test]
fn refuses_assertions_by_rule_and_words_that_it_does_not_know() {
    for (allowed, refused) in [
        (vec![Assertion::Proximity], vec!["as-you-like-it"]),
        (vec![Assertion::Verified, Assertion::Logged], vec!["proximity", "as-you-like-it"]),
        (vec![], vec!["proximity", "as-you-like-it"]),
    ] {
        let policy = AuditPolicy { assertions: AssertionRule::OneOf(allowed), ..policy() };
        let violations = evaluate(&log(STRINGS), &policy);
        let words = violations.iter().map(|each| match each {
            AuditViolation::Assertion { assertion, .. } => assertion.as_str(),
            other => panic!("{other}"),
        });
        assert_eq!(words.collect::<Vec<_>>(), refused);
    }
}

#[test]
fn refuses_nonceless_vouchers_by_rule() {
    for (nonceless, own, count) in [
        (NoncelessRule::Refused, false, 1),
        (NoncelessRule::Refused, true, 1),
        (NoncelessRule::OwnDomain, false, 1),
        (NoncelessRule::OwnDomain, true, 0),
        (NoncelessRule::AcceptedDomains, false, 0),
    ] {
        let mut policy = AuditPolicy { nonceless, ..policy() };
        if own {
            policy.own.push(domain(&[1, 2, 3, 4]));
        }
        let violations = evaluate(&log(STRINGS), &policy);
        assert_eq!(violations.len(), count, "{nonceless:?} {own}");
        assert!(violations.iter().all(|each| matches!(each, AuditViolation::Nonceless { .. })));
    }
}

#[test]
fn refuses_omissions_by_rule() {
    let none = STRINGS.replace("\"arbitrary\":\"2\"", "\"arbitrary\":0");
    let duplicates = "\"nonceless duplicates\":\"1\"";
    let arbitrary = STRINGS.replace(duplicates, "\"nonceless duplicates\":0");
    let nothing = none.replace(duplicates, "\"nonceless duplicates\":0");
    for (text, truncation, is_refused) in [
        (STRINGS, TruncationRule::Refused, true),
        (STRINGS, TruncationRule::Duplicates, true),
        (STRINGS, TruncationRule::Accepted, false),
        (&none, TruncationRule::Refused, true),
        (&arbitrary, TruncationRule::Refused, true),
        (&arbitrary, TruncationRule::Duplicates, true),
        (&nothing, TruncationRule::Refused, false),
        (&none, TruncationRule::Duplicates, false),
    ] {
        let violations = evaluate(&log(text), &AuditPolicy { truncation, ..policy() });
        assert_eq!(!violations.is_empty(), is_refused, "{truncation:?}");
    }
    let text =
        evaluate(&log(STRINGS), &AuditPolicy { truncation: TruncationRule::Refused, ..policy() });
    assert_eq!(
        text[0].to_string(),
        "the log leaves out 1 duplicates and 2 other events (RFC 8995 §5.8.1)"
    );
}

#[test]
fn counts_what_events_say_they_left_out_since_the_purchase() {
    let text = r#"{"version":1,"events":[
        {"date":"2017-05-15T00:00:00Z","domainID":"AQIDBA==","nonce":"a","assertion":"logged","truncated":3},
        {"date":"2019-05-15T00:00:00Z","domainID":"AQIDBA==","nonce":"b","assertion":"logged","truncated":"2"}]}"#;
    let strict = AuditPolicy { truncation: TruncationRule::Refused, ..policy() };
    let left_out = |since| match &evaluate(&log(text), &AuditPolicy { since, ..strict.clone() })[..]
    {
        [] => 0,
        [AuditViolation::Truncated { duplicates, arbitrary: 0 }] => *duplicates,
        other => panic!("{other:?}"),
    };
    let counts: Vec<u64> = log(text).events().iter().map(|event| event.truncated()).collect();
    assert_eq!(counts, [3, 2]);
    // Midnight of 2018-01-01 and of 2020-01-01.
    assert_eq!(left_out(None), 5);
    assert_eq!(left_out(Some(1_514_764_800)), 2);
    assert_eq!(left_out(Some(1_577_836_800)), 0);
}
