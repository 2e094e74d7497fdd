//! certs-only messages: the published ones, ours, and other encoders'.

use brski_est::certs_only::{CertsOnlyError, decode, encode};
use brski_est::transfer;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use der::Decode as _;

use crate::support::{certificate, vector};

#[test]
fn reads_the_published_messages() {
    for (name, count) in [
        ("rfc7030/a1_cacerts_response.b64", 4),
        ("rfc7030/a3_simpleenroll_response.b64", 1),
        ("rfc7030/a4_serverkeygen_response_cert.b64", 1),
    ] {
        let Some(body) = vector(name) else { return };
        assert_eq!(decode(&transfer::decode(&body).unwrap()).unwrap().len(), count, "{name}");
    }
}

/// The published messages have an empty list of CRLs, which nobody needs; all else is as they are.
#[test]
fn writes_the_published_messages_but_for_their_empty_crls() {
    for name in ["rfc7030/a1_cacerts_response.der", "rfc7030/a3_simpleenroll_response.der"] {
        let Some(published) = vector(name) else { return };
        let certificates = decode(&published).unwrap();
        let ours = encode(&certificates.iter().collect::<Vec<_>>());
        let crls = [0xa1, 0, 0x31, 0];
        assert!(published.ends_with(&crls) && ours.ends_with(&[0x31, 0]));
        let body =
            |octets: &[u8], start: usize, end: usize| octets[start..octets.len() - end].to_vec();
        // Behind the lengths, which differ by the two octets left out.
        let start = published.windows(4).position(|all| all == [2, 1, 1, 0x31]).unwrap();
        assert_eq!(body(&published, start, 4), body(&ours, start, 2), "{name}");
    }
}

#[test]
fn certificates_come_back_in_the_order_given() {
    let (a, b) = (certificate(), certificate());
    for order in [[&a, &b], [&b, &a]] {
        let read = decode(&encode(&order)).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), order);
    }
    assert!(decode(&encode(&[])).unwrap().is_empty());
}

#[test]
fn a_strict_reader_of_another_hand_reads_ours() {
    let content = ContentInfo::from_der(&encode(&[&certificate()])).unwrap();
    let signed: SignedData = content.content.decode_as().unwrap();
    assert_eq!(signed.certificates.unwrap().0.len(), 1);
    assert!(signed.signer_infos.0.is_empty());
}

/// As Bouncy Castle writes it, and so EJBCA.
#[test]
fn reads_indefinite_lengths() {
    let certificate = certificate();
    let ber = [
        &[0x30, 0x80, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 2, 0xa0, 0x80][..],
        &[0x30, 0x80, 2, 1, 1, 0x31, 0],
        &[0x30, 0x80, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 1, 0, 0],
        &[0xa0, 0x80],
        &certificate,
        &[0, 0, 0xa1, 0x80, 0, 0, 0x31, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(decode(&ber).unwrap(), [certificate]);
}

#[test]
fn passes_over_attribute_certificates() {
    let certificate = certificate();
    let message = encode(&[&certificate, &vec![0xa2, 0].into()]);
    assert_eq!(decode(&message).unwrap(), [certificate]);
}

#[test]
fn refuses_what_is_no_message_by_name() {
    let message = encode(&[&certificate()]);
    let truncated = &message[..message.len() - 1];
    let trailing = [message.as_slice(), &[0]].concat();
    let enveloped = {
        let mut changed = message.clone();
        let kind = changed.iter().position(|octet| *octet == 7).unwrap() + 1;
        changed[kind] = 3;
        changed
    };
    for octets in [&[][..], &certificate(), truncated, &trailing, &enveloped, &[0x30, 0]] {
        assert_eq!(decode(octets), Err(CertsOnlyError::NotSignedData));
    }
    let octets = 300 * 1024;
    assert_eq!(decode(&vec![0x30; octets]), Err(CertsOnlyError::TooLong { octets }));
    let small = vec![0x30, 0].into();
    let many = encode(&vec![&small; 257]);
    assert_eq!(decode(&many), Err(CertsOnlyError::TooMany { count: 257 }));
}
