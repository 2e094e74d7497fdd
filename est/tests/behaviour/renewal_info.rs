//! When to renew: the id of a certificate, the window, and the answer.

use brski_est::renewal_info::{
    CertificateId, CertificateIdError, RenewalInfo, RenewalInfoError, Window, WindowError,
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::support::{at, certificate, vector};

const DAY: u64 = 24 * 3600;

fn window(start: u64, end: u64) -> Window {
    Window::new(at(start), at(end)).unwrap()
}

/// RFC 9773 Appendix A.
#[test]
fn the_published_certificate_has_the_published_id() {
    let Some(pem) = vector("rfc9773/appendix_a_cert.pem") else { return };
    let Some(expected) = vector("rfc9773/expected_certid.txt") else { return };
    let expected = String::from_utf8(expected).unwrap();
    let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
    let id = CertificateId::of(&certificate).unwrap();
    assert_eq!(id.to_string(), expected.trim());
    assert_eq!(CertificateId::parse(expected.trim()).unwrap(), id);
    assert_eq!(id.serial(), [0, 0x87, 0x65, 0x43, 0x21]);
    assert_eq!(id.key_identifier()[..2], [0x69, 0x88]);
    // It was never valid, as far as a clock that starts in 1970 can tell.
    assert_eq!(Window::of_certificate(&certificate), Err(WindowError::Validity));
}

#[test]
fn ids_that_name_nothing_are_refused() {
    for text in ["", ".", "AA", "AA.", ".AA", "AA.AA.AA", "A!.AA", "AA==.AA", "AB.AA", "AA.\u{e9}"]
    {
        CertificateId::parse(text).expect_err(text);
    }
    let long = "A".repeat(88);
    assert_eq!(CertificateId::parse(&format!("{long}.AA")), Err(CertificateIdError::Length));
    assert_eq!(CertificateId::parse(&"A".repeat(1000)), Err(CertificateIdError::Length));
    assert_eq!(CertificateId::of(&vec![0x30, 0].into()), Err(CertificateIdError::Certificate));
    let params = CertificateParams::new(Vec::new()).unwrap();
    let without = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let refused = CertificateId::of(without.der());
    assert_eq!(refused, Err(CertificateIdError::NoKeyIdentifier));
    CertificateId::of(&certificate()).unwrap();
}

#[test]
fn the_default_window_is_at_two_thirds_or_half_of_a_life() {
    let default = |days: u64| Window::of_validity(at(0), at(days * DAY)).unwrap();
    assert_eq!(default(90), window(60 * DAY, 63 * DAY));
    assert_eq!(default(10), window(10 * DAY - 10 * DAY / 3, 10 * DAY - 10 * DAY / 3 + DAY / 3));
    assert_eq!(default(6), window(3 * DAY, 3 * DAY + 3 * DAY / 10));
    assert_eq!(Window::of_validity(at(0), at(2)).unwrap(), window(1, 2));
    for (from, until) in [(0, 0), (5, 4), (0, 1)] {
        assert_eq!(Window::of_validity(at(from), at(until)), Err(WindowError::Order));
    }
    Window::of_validity(at(0), at(u64::MAX)).unwrap();
}

#[test]
fn the_window_of_a_certificate_is_that_of_its_validity() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    // Beyond 2049 the time is of another ASN.1 type.
    params.not_after = date_time_ymd(2052, 1, 1);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let (from, until) = (1_767_225_600, 2_587_680_000);
    assert_eq!(Window::of_certificate(certificate.der()), Window::of_validity(at(from), at(until)));
    assert_eq!(Window::of_certificate(&vec![0x30, 0].into()), Err(WindowError::Validity));
}

#[test]
fn a_moment_lies_in_the_window() {
    let window = window(100, 110);
    for random in [0, 1, 9, 10, u64::MAX] {
        let moment = window.moment(random).as_secs();
        assert!((100..110).contains(&moment), "{moment}");
    }
    assert_ne!(window.moment(1), window.moment(2));
}

#[test]
fn an_answer_comes_back_as_it_was() {
    let plain = RenewalInfo::new(window(1_735_790_400, 1_735_876_800));
    let json =
        br#"{"suggestedWindow":{"start":"2025-01-02T04:00:00Z","end":"2025-01-03T04:00:00Z"}}"#;
    assert_eq!(plain.to_json(), json);
    let explained = plain.clone().with_explanation_url("https://example.org/why").unwrap();
    for info in [plain, explained] {
        assert_eq!(RenewalInfo::from_json(&info.to_json()).unwrap(), info);
    }
}

#[test]
fn an_answer_of_another_server_is_read() {
    let body = br#"{"suggestedWindow": {"start": "2025-01-02T05:00:00.999+01:00",
        "end": "2025-01-03T04:00:00z", "x": 1}, "explanationURL": null, "y": []}"#;
    let info = RenewalInfo::from_json(body).unwrap();
    assert_eq!(info.window(), window(1_735_790_400, 1_735_876_800));
    assert_eq!(info.explanation_url(), None);
}

#[test]
fn answers_that_say_nothing_are_refused_by_name() {
    let answer = |start: &str, end: &str, url: &str| {
        let window = format!(r#"{{"start":"{start}","end":"{end}"}}"#);
        RenewalInfo::from_json(
            format!(r#"{{"suggestedWindow":{window},"explanationURL":"{url}"}}"#).as_bytes(),
        )
    };
    let (start, end, url) = ("2025-01-02T04:00:00Z", "2025-01-03T04:00:00Z", "https://example.org");
    answer(start, end, url).unwrap();
    for (start, end) in [(start, start), (end, start)] {
        let refused = answer(start, end, url);
        assert!(matches!(refused, Err(RenewalInfoError::Window(WindowError::Order))));
    }
    for time in ["", "2025-01-02", "1969-12-31T00:00:00Z", "2025-13-01T00:00:00Z"] {
        let refused = answer(time, end, url);
        assert!(matches!(refused, Err(RenewalInfoError::Window(WindowError::Time))), "{time}");
    }
    for url in ["javascript:alert(1)", "ftp://example.org", "/why", "https://"] {
        let refused = answer(start, end, url);
        assert!(matches!(refused, Err(RenewalInfoError::ExplanationUrl)), "{url}");
    }
    for body in [&b""[..], b"{}", b"[]", br#"{"suggestedWindow":{}}"#, b"<html>"] {
        assert!(matches!(RenewalInfo::from_json(body), Err(RenewalInfoError::Json(_))));
    }
    let long = vec![b' '; 17 * 1024];
    assert!(matches!(RenewalInfo::from_json(&long), Err(RenewalInfoError::TooLong { .. })));
}
