//! Status reports.

use brski_voucher::telemetry::{STATUS_OCTETS, Status, StatusError};

#[test]
fn reads_what_it_writes() {
    let context = serde_json::from_str(r#"{"additional":"JSON"}"#).unwrap();
    for status in [
        Status::success(),
        Status::failure("no route"),
        Status::failure("no route").with_context(context),
    ] {
        assert_eq!(Status::parse(&status.to_json()).unwrap(), status);
    }
    assert_eq!(Status::success().to_json(), br#"{"version":1,"status":true}"#);
}

#[test]
fn reads_the_report_of_the_standard_and_ignores_unknown_members() {
    let status = Status::parse(
        br#"{"version":2,"status":false,"reason":"Informative human-readable message",
            "reason-context":{"additional":"JSON"},"Status":true,"new":[1]}"#,
    )
    .unwrap();
    assert_eq!(status.version(), 2);
    assert!(!status.status());
    assert_eq!(status.reason(), Some("Informative human-readable message"));
    assert_eq!(status.reason_context(), Some(r#"{"additional":"JSON"}"#));
    assert!(!String::from_utf8(status.to_json()).unwrap().contains("new"));
}

#[test]
fn refuses_reports_that_are_none() {
    for body in [
        "",
        "[1,true]",
        r#"{"status":true}"#,
        r#"{"version":1}"#,
        r#"{"version":1,"Status":true}"#,
        r#"{"version":-1,"status":true}"#,
        r#"{"version":1,"status":"true"}"#,
        r#"{"version":1,"status":true,"status":false}"#,
        r#"{"version":1,"status":true,"reason-context":"text"}"#,
    ] {
        assert!(matches!(Status::parse(body.as_bytes()), Err(StatusError::Json(_))), "{body}");
    }
    let long = vec![b' '; STATUS_OCTETS + 1];
    let error = Status::parse(&long).unwrap_err();
    assert!(matches!(error, StatusError::TooLong { octets: 16385 }));
}
