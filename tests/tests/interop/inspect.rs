//! `registrar inspect` on artefacts that others published, and on what is none.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use brski_tests::programs;
use serde_json::{Value, json};

/// The members of the object that `--json` prints, in order.
const MEMBERS: [&str; 6] = ["kind", "encoding", "fields", "signers", "verified", "forgiven"];

fn inspect(arguments: &[&str], input: &[u8]) -> anyhow::Result<Output> {
    let mut child = Command::new(programs::ours("registrar")?)
        .arg("inspect")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that refuses early closes its input.
        let _ = stdin.write_all(input);
    }
    Ok(child.wait_with_output()?)
}

/// The exit code and the object that `--json` prints.
fn object(arguments: &[&str], input: &[u8]) -> anyhow::Result<(Option<i32>, Value)> {
    let output = inspect(&[arguments, &["--json"]].concat(), input)?;
    let text = String::from_utf8_lossy(&output.stderr);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{text}"));
    let members: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(members, MEMBERS);
    Ok((output.status.code(), object))
}

/// The octets of a published artefact; those in CBOR are published as hexadecimal digits.
fn octets(file: &Path) -> anyhow::Result<Vec<u8>> {
    let octets = std::fs::read(file)?;
    if file.extension().is_none_or(|extension| extension != "hex") {
        return Ok(octets);
    }
    let digits: Vec<u32> =
        octets.iter().filter_map(|digit| char::from(*digit).to_digit(16)).collect();
    digits.chunks(2).map(|pair| Ok(u8::try_from(pair[0] * 16 + pair[1])?)).collect()
}

/// A published artefact: its file, what it is, the anchor of its signer, and a time when it was valid.
struct Published {
    file: &'static str,
    kind: &'static str,
    encoding: &'static str,
    anchor: &'static str,
    at: &'static str,
    nonce: &'static str,
    forgiven: &'static [&'static str],
}

const fn published(
    [file, kind, encoding, anchor, at, nonce]: [&'static str; 6],
    forgiven: &'static [&'static str],
) -> Published {
    Published { file, kind, encoding, anchor, at, nonce, forgiven }
}

const NONCE: &str = "-_XE9zK9q8Ll1qylMtLKeg";
const THEN: &str = "2021-04-14T00:00:00Z";

#[rustfmt::skip]
const PUBLISHED: [Published; 14] = [
    published(["rfc8995/vr_00-D0-E5-F2-00-02.der", "pledge-request", "cms", "rfc8995/vendor.crt", THEN, NONCE], &["content-type-id-data"]),
    published(["rfc8995/vr_00-D0-E5-F2-00-02.b64", "pledge-request", "cms", "rfc8995/vendor.crt", THEN, NONCE], &["base64-body", "content-type-id-data"]),
    published(["rfc8995/vr_00-D0-E5-F2-00-02.pkcs", "pledge-request", "cms", "rfc8995/vendor.crt", THEN, NONCE], &["base64-body", "content-type-id-data"]),
    published(["rfc8995/parboiled_vr_00-D0-E5-F2-00-02.der", "registrar-request", "cms", "rfc8995/ownerca_secp384r1.crt", THEN, NONCE], &["content-type-id-data"]),
    published(["rfc8995/parboiled_vr_00-D0-E5-F2-00-02.pkcs", "registrar-request", "cms", "rfc8995/ownerca_secp384r1.crt", THEN, NONCE], &["base64-body", "content-type-id-data"]),
    published(["rfc8995/parboiled_00-D0-E5-F2-00-02.b64", "registrar-request", "cms", "rfc8995/ownerca_secp384r1.crt", "2020-02-26T00:00:00Z", "aMjgueKUT-22wVimj6z27Q"], &["base64-body", "content-type-id-data"]),
    published(["rfc8995/voucher_00-D0-E5-F2-00-02.der", "voucher", "cms", "rfc8995/vendor.crt", THEN, NONCE], &["content-type-id-data"]),
    published(["rfc8995/voucher_00-D0-E5-F2-00-02.pkcs", "voucher", "cms", "rfc8995/vendor.crt", THEN, NONCE], &["base64-body", "content-type-id-data"]),
    published(["jws-voucher/pvr.json", "pledge-request", "jws", "jws-voucher/02-certificate.pem", "2024-12-01T01:00:00+01:00", "TauvK+Y/cc2RfIFvpZzfKQ=="], &[]),
    published(["jws-voucher/rvr.json", "registrar-request", "jws", "jws-voucher/05-certificate.pem", "2024-12-01T00:00:00.5Z", "TauvK+Y/cc2RfIFvpZzfKQ=="], &[]),
    published(["jws-voucher/voucher.json", "voucher", "jws", "jws-voucher/08-certificate.pem", "2024-12-01T00:00:00Z", "TauvK+Y/cc2RfIFvpZzfKQ=="], &[]),
    published(["constrained-voucher/pvr.hex", "pledge-request", "cose", "constrained-voucher/pledge.pem", "2023-01-01T00:00:00Z", "I7+7ycK88hM="], &[]),
    published(["constrained-voucher/rvr.hex", "registrar-request", "cose", "constrained-voucher/domain_ca.pem", "2023-01-01T00:00:00Z", "I7+7ycK88hM="], &[]),
    published(["constrained-voucher/voucher.hex", "voucher", "cose", "constrained-voucher/masa_ca.pem", "2023-01-01T00:00:00Z", "V+7Xhq1ASQc="], &[]),
];

/// The folder of all published vectors, if it is there.
fn vectors() -> Option<PathBuf> {
    programs::vectors("rfc8995")?.parent().map(Path::to_owned)
}

#[test]
fn decodes_and_verifies_what_others_published() -> anyhow::Result<()> {
    let Some(vectors) = vectors() else {
        return Ok(());
    };
    let path = |name: &str| vectors.join(name).to_string_lossy().into_owned();
    let stranger = path("rfc8995/masa_secp384r1.crt");
    for artefact in &PUBLISHED {
        let name = artefact.file;
        let input = octets(&vectors.join(name))?;
        let (code, seen) = object(&["-"], &input)?;
        assert_eq!(code, Some(0), "{name}");
        assert_eq!(seen["kind"], artefact.kind, "{name}");
        assert_eq!(seen["encoding"], artefact.encoding, "{name}");
        assert_eq!(seen["fields"]["nonce"], artefact.nonce, "{name}");
        assert_eq!(seen["verified"], Value::Null, "{name}");
        assert_eq!(seen["forgiven"], json!(artefact.forgiven), "{name}");

        let trust = path(artefact.anchor);
        let both = ["-", "--trust", &stranger, "--trust", &trust, "--at", artefact.at];
        let (code, seen) = object(&both, &input)?;
        assert_eq!((code, &seen["verified"]), (Some(0), &json!(true)), "{name}");
        assert_eq!(seen["signers"].as_array().map(Vec::len), Some(1), "{name}");
        assert_eq!(seen["forgiven"], json!(artefact.forgiven), "{name}");

        for wrong in [
            ["-", "--trust", &stranger, "--at", artefact.at],
            ["-", "--trust", &trust, "--at", "1999-12-31T23:59:59Z"],
        ] {
            let (code, seen) = object(&wrong, &input)?;
            assert_eq!((code, &seen["verified"]), (Some(1), &json!(false)), "{name}");
            let output = inspect(&wrong, &input)?;
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(reason.contains("not verified: "), "{name}: {reason}");
        }
    }
    Ok(())
}

#[test]
fn says_2_and_why_for_what_is_no_artefact() -> anyhow::Result<()> {
    let nested = |unit: &[u8]| unit.repeat(65_536 / unit.len());
    let no_algorithm =
        br#"{"payload":"e30","signatures":[{"protected":"eyJhbGciOiJub25lIn0","signature":""}]}"#;
    let signature = "{\"protected\":\"e30\",\"signature\":\"AA\"}";
    let twice = format!(r#"{{"payload":"e30","payload":"e30","signatures":[{signature}]}}"#);
    for (input, reason) in [
        (&b""[..], "is not a voucher"),
        (b"   \n", "is not a voucher"),
        (b"hello", "is not a voucher"),
        (b"\xff\xfe\0\0", "is not a voucher"),
        (b"[]", "is not a voucher"),
        (b"{}", "as jws: "),
        (br#"{"version":1}"#, "as jws: "),
        (br#"{"version":1,"status":true,"status":false}"#, "as jws: "),
        (no_algorithm, "algorithm \"none\""),
        (twice.as_bytes(), "\"payload\" is there twice"),
        (&[0x30, 0], "as cms: the CMS cannot be read"),
        (&[0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40], "as cose: "),
        (&nested(b"["), "is not a voucher"),
        (&nested(br#"{"a":"#), "nested too deeply"),
        (&nested(&[0x30, 0x80]), "as cms: "),
        (&nested(&[0xd2, 0x84, 0x9f]), "as cose: "),
        (&vec![b' '; 65_537], "is not a voucher"),
        (&[b"{", &vec![b' '; 65_536][..]].concat(), "has 65537 octets, more than 65536"),
        (&vec![0x30; 262_145], "more than 262144 octets"),
    ] {
        for arguments in [&["-"][..], &["-", "--json"]] {
            let output = inspect(arguments, input)?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(output.stdout.is_empty());
            assert!(text.contains(reason), "{reason}: {text}");
        }
    }
    Ok(())
}

#[test]
fn says_2_for_every_cut_of_what_others_published() -> anyhow::Result<()> {
    let Some(vectors) = vectors() else {
        return Ok(());
    };
    // Armour and base64 may lack their end; what is in them may not.
    let is_bare =
        |artefact: &&Published| !artefact.file.ends_with("s") && !artefact.file.ends_with("64");
    for artefact in PUBLISHED.iter().filter(is_bare) {
        let whole = octets(&vectors.join(artefact.file))?;
        for end in [1, whole.len() / 3, whole.len() / 2, whole.len() - 2] {
            let output = inspect(&["-", "--json"], &whole[..end])?;
            assert_eq!(output.status.code(), Some(2), "{} cut at {end}", artefact.file);
        }
    }
    Ok(())
}

#[test]
fn a_certificate_is_shown_to_people_but_neither_verified_nor_written_as_json() -> anyhow::Result<()>
{
    let Some(vectors) = vectors() else {
        return Ok(());
    };
    let file = vectors.join("rfc8995/vendor.crt").to_string_lossy().into_owned();
    let output = inspect(&[&file], &[])?;
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"certificate\n"));
    for options in [&["--json"][..], &["--trust", &file]] {
        let output = inspect(&[&[&file[..]], options].concat(), &[])?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty() && text.contains("is a certificate, not"), "{text}");
    }
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() -> anyhow::Result<()> {
    let mut child = Command::new(programs::ours("registrar")?)
        .args(["inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Closed before there is anything to print, since it waits for its input.
    drop(child.stdout.take());
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(br#"{"version":1,"status":true}"#)?;
    }
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    Ok(())
}

#[test]
fn tells_reports_apart_by_the_files_name_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let within = folder.path().join("enroll");
    std::fs::create_dir(&within)?;
    let status =
        br#"{"version":1,"status":false,"reason":"no\u001b[2J","reason-context":{"a":[1]}}"#;
    let eventful = br#"{"version":"1","events":[{"date":"2019-05-15T17:25:55.644-04:00",
        "domainID":"BduJhdHPpfhQLyponf48JzXSGZ8=","nonce":null,"assertion":"proximity","truncated":"0"}],
        "truncation":{"nonced duplicates":"0","nonceless duplicates":"1","arbitrary":"2"}}"#;
    let pes = br#"{"version":1,"status":true,"reason-context":{"pes-details":"done"}}"#;
    for (file, input, kind) in [
        (within.join("voucher_status.json"), &status[..], "voucher-status"),
        (within.join("enrollstatus.json"), status, "enroll-status"),
        (within.join("status.json"), pes, "enroll-status"),
        (within.join("log.json"), eventful, "audit-log"),
    ] {
        std::fs::write(&file, input)?;
        let file = file.to_string_lossy();
        let (code, seen) = object(&[&file], &[])?;
        assert_eq!((code, &seen["kind"]), (Some(0), &json!(kind)));
        assert_eq!((&seen["encoding"], &seen["verified"]), (&json!("json"), &Value::Null));
        assert_eq!((&seen["signers"], &seen["forgiven"]), (&json!([]), &json!([])));
        // What a device says does not reach the terminal as it is.
        let output = inspect(&[&file], &[])?;
        assert!(!output.stdout.contains(&0x1b));
    }
    Ok(())
}
