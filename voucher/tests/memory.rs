//! No input makes a reader hold more than 16 times its size plus 64 KiB at once.

use brski_voucher::ARTEFACT_OCTETS;
use brski_voucher::artefact::{PledgeRequest, RegistrarRequest, Voucher};
use brski_voucher::audit::AuditLog;
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::telemetry::Status;
use brski_voucher::verify::Unverified;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What `work` holds at its highest, beyond what was there before.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let value = work();
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    drop(value);
    peak
}

fn jws(payload: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let payload = URL_SAFE_NO_PAD.encode(payload);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    format!(
        r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"AA"}}]}}"#
    )
    .into_bytes()
}

fn fill(head: &[u8], unit: &[u8], tail: &[u8]) -> Vec<u8> {
    let count = (ARTEFACT_OCTETS - head.len() - tail.len()) / unit.len();
    [head, &unit.repeat(count), tail].concat()
}

fn cut(mut octets: Vec<u8>, length: usize) -> Vec<u8> {
    octets.truncate(length);
    octets
}

/// Inputs of full size that are dear to hold for a reader that keeps what it meets.
fn hostile() -> Vec<Vec<u8>> {
    let members: String = (0..5000).map(|number| format!("\"{number}\":1,")).collect();
    let root = br#"{"ietf-voucher:voucher":{"#;
    let object = [&root[..], members.as_bytes(), br#""serial-number":"x"}}"#].concat();
    vec![
        // CBOR: wide arrays, deep arrays, maps of small numbers, tags.
        [
            &[0xd2, 0x84, 0x40, 0xa0, 0x59, 0xf0, 0x00][..],
            &cut(fill(&[0x99, 0xef, 0xf0], &[0], &[]), 61440),
        ]
        .concat(),
        fill(&[0xd2, 0x84, 0x40, 0xa0], &[0x81], &[]),
        fill(&[0xd2, 0x9f], &[0], &[0xff]),
        fill(&[], &[0xc1], &[]),
        fill(&[0xd2, 0x84, 0x40, 0xbf], &[0, 0], &[0xff]),
        // JSON: many members, deep nesting, long lists of nothing.
        jws(&object),
        jws(&cut(fill(b"", b"[", b""), 48000)),
        jws(&cut(fill(b"{\"x\":[", b"0,", b"0]}"), 48000)),
        fill(
            b"{\"payload\":\"\",\"signatures\":[",
            br#"{"protected":"","signature":""},"#,
            b"{}]}",
        ),
        fill(
            b"{\"version\":1,\"events\":[",
            br#"{"date":"2026-01-01T00:00:00Z","domainID":"","assertion":""},"#,
            b"",
        ),
        cut(
            fill(b"{\"version\":1,\"status\":true,\"reason-context\":{\"x\":[", b"0,", b"0]}}"),
            16384,
        ),
        // DER: a SEQUENCE of nothings, nested SEQUENCEs, BER in pieces, certificates without number.
        fill(&[0x30, 0x83, 0, 0xff, 0xfb], &[0x05, 0x00], &[]),
        fill(&[], &[0x30, 0x80], &[]),
        fill(&[0x30, 0x80, 0x24, 0x80], &[0x04, 0x00], &[0, 0, 0, 0]),
        fill(&[0x30, 0x83, 0, 0xff, 0xfb], &[0x30, 0x03, 0x02, 0x01, 0x01], &[]),
    ]
}

#[test]
fn no_reader_holds_much_more_than_it_was_given() {
    for (number, octets) in hostile().iter().enumerate() {
        let limit = 16 * octets.len() + 64 * 1024;
        let within = |name: &str, peak: usize| {
            assert!(peak <= limit, "{name} held {peak} for {} (input {number})", octets.len());
        };
        for encoding in [Encoding::Cms, Encoding::Jws, Encoding::Cose] {
            let lenient = Strictness::Lenient;
            within(
                "pledge request",
                peak(|| Unverified::<PledgeRequest>::parse_as(octets, encoding, lenient)),
            );
            within(
                "registrar request",
                peak(|| Unverified::<RegistrarRequest>::parse_as(octets, encoding, lenient)),
            );
            within("voucher", peak(|| Unverified::<Voucher>::parse_as(octets, encoding, lenient)));
        }
        within("certificate", peak(|| Certificate::from_der(octets)));
        within("audit log", peak(|| AuditLog::parse(octets)));
        within("status", peak(|| Status::parse(octets)));
    }
}
