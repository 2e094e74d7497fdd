//! Base64 around bodies: every form that clients send, and the one that suits them all.

use brski_est::transfer::{Folding, TransferError, decode, decode_csr, encode};

use crate::support::{csr, vector};

fn folded(der: &[u8], width: usize, end: &str) -> String {
    let line = encode(der, Folding::Never);
    let lines = line.trim().as_bytes().chunks(width);
    lines.map(|line| format!("{}{end}", String::from_utf8_lossy(line))).collect()
}

fn armoured(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", folded(der, 64, "\n"))
}

#[test]
fn reads_every_form_of_a_csr() {
    let csr = csr();
    let one_line = encode(&csr, Folding::Never);
    let text =
        format!("Certificate Request:\n    Data:\n{}", armoured("CERTIFICATE REQUEST", &csr));
    for body in [
        // strongSwan, libest, globalsign, the Python clients.
        one_line.trim().to_owned(),
        one_line.clone(),
        folded(&csr, 64, "\n"),
        folded(&csr, 76, "\r\n"),
        // Blanks and tabs anywhere (RFC 8951 §3.1).
        one_line.replace('A', "A \t"),
        format!("\r\n\r\n{one_line}"),
        one_line.trim().trim_end_matches('=').to_owned(),
        // curl with what OpenSSL wrote.
        armoured("CERTIFICATE REQUEST", &csr),
        armoured("NEW CERTIFICATE REQUEST", &csr),
        armoured("CERTIFICATE REQUEST", &csr).replace('\n', "\r\n"),
        armoured("CERTIFICATE REQUEST", &csr).trim_end().to_owned(),
        text,
    ] {
        assert_eq!(decode_csr(body.as_bytes()).unwrap(), csr, "{body}");
        assert_eq!(decode(body.as_bytes()).unwrap(), csr);
    }
    // Trustpoint's client and Dogtag's documentation.
    assert_eq!(decode_csr(&csr).unwrap(), csr);
}

#[test]
fn refuses_what_is_no_body_by_name() {
    for empty in [&b""[..], b" \r\n\t"] {
        assert_eq!(decode(empty), Err(TransferError::Empty));
    }
    for garbage in [&b"no base64!"[..], b"AAA=AAA", b"\xff\xfe", b"A"] {
        assert_eq!(decode(garbage), Err(TransferError::NotBase64));
    }
    let octets = 65 * 1024;
    let too_long = TransferError::TooLong { octets, most: 64 * 1024 };
    assert_eq!(decode(&vec![b'A'; octets]), Err(too_long));
}

#[test]
fn refuses_pem_blocks_that_do_not_belong_there() {
    let csr = csr();
    let block = armoured("CERTIFICATE REQUEST", &csr);
    let certificate = armoured("CERTIFICATE", &csr);
    let label = TransferError::Label { label: "CERTIFICATE".to_owned() };
    assert_eq!(decode_csr(certificate.as_bytes()), Err(label));
    decode(certificate.as_bytes()).unwrap();
    let two = format!("{block}{block}");
    assert_eq!(decode_csr(two.as_bytes()), Err(TransferError::Blocks { count: 2 }));
    let (begin, end) = (block.lines().next().unwrap(), block.lines().last().unwrap());
    for broken in [
        begin.to_owned(),
        end.to_owned(),
        format!("{begin}\nAAAA\n{begin}\n{end}\n"),
        format!("{begin}\nAAAA\n-----END CERTIFICATE-----\n"),
    ] {
        assert_eq!(decode_csr(broken.as_bytes()), Err(TransferError::Armour), "{broken}");
    }
    let inside = format!("{begin}\nProc-Type: 4\n{end}\n");
    assert_eq!(decode_csr(inside.as_bytes()), Err(TransferError::NotBase64));
}

#[test]
fn a_private_key_is_named_as_what_it_is() {
    for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
        let body = armoured(label, b"secret");
        for body in [body.clone(), format!("{}{body}", armoured("CERTIFICATE REQUEST", &csr()))] {
            assert_eq!(decode_csr(body.as_bytes()), Err(TransferError::PrivateKey));
            assert_eq!(decode(body.as_bytes()), Err(TransferError::PrivateKey));
        }
    }
    assert!(!TransferError::PrivateKey.to_string().contains("c2Vj"));
}

#[test]
fn an_answer_is_one_line_but_for_clients_that_fold() {
    let long = vec![7; 2000];
    let one = encode(&long, Folding::for_client(b"AAAA", "anything"));
    assert_eq!(one.matches('\n').count(), 1);
    assert!(one.ends_with('\n'));
    for folding in
        [Folding::for_client(b"AAAA\nAAAA\n", ""), Folding::for_client(b"", "libest 3.2.0p")]
    {
        let folded = encode(&long, folding);
        assert!(folded.lines().all(|line| line.len() <= 64), "{folded}");
        assert_eq!(decode(folded.as_bytes()).unwrap(), long);
        let short = encode(&[7; 100], folding);
        assert_eq!(short.matches('\n').count(), 1, "short answers suit everybody");
    }
}

#[test]
fn folded_answers_are_the_published_ones_to_the_octet() {
    for name in [
        "rfc7030/a1_cacerts_response",
        "rfc7030/a3_simpleenroll_response",
        "rfc7030/a4_serverkeygen_response_key",
        "rfc7030/a4_serverkeygen_response_cert",
    ] {
        let Some(published) = vector(&format!("{name}.b64")) else { return };
        let Some(der) = vector(&format!("{name}.der")) else { return };
        assert_eq!(decode(&published).unwrap(), der, "{name}");
        assert_eq!(encode(&der, Folding::WhenLong).as_bytes(), published, "{name}");
    }
}
