//! The answer of `/serverkeygen`: two parts, written for every client and read from any server.

use brski_est::media_type;
use brski_est::server_keygen::{
    Boundary, GeneratedKey, KeyAnswer, KeyAnswerBody, KeyPart, MultipartError,
};
use brski_est::transfer::{Folding, encode};
use rcgen::KeyPair;

use crate::support::{certificate, certificate_of, vector};

const CONTENT_TYPE: &str = "multipart/mixed; boundary=b";

fn plain(pair: &KeyPair) -> KeyPart {
    KeyPart::Plain(GeneratedKey::from_pkcs8_der(pair.serialized_der()))
}

fn part(kind: &str, body: &str) -> String {
    format!("--b\r\nContent-Type: {kind}\r\n\r\n{body}\r\n")
}

fn certificates() -> String {
    let message = brski_est::certs_only::encode(&[&certificate()]);
    part(media_type::CERTS_ONLY, encode(&message, Folding::Never).trim())
}

fn parse(parts: &[String]) -> Result<KeyAnswer, MultipartError> {
    KeyAnswer::parse(CONTENT_TYPE, format!("{}--b--\r\n", parts.concat()).as_bytes())
}

/// RFC 7030 Appendix A.4: what its prose and its parts make together.
#[test]
fn the_published_answer_is_read() {
    let Some(key) = vector("rfc7030/a4_serverkeygen_response_key.b64") else { return };
    let Some(key_der) = vector("rfc7030/a4_serverkeygen_response_key.der") else { return };
    let Some(chain) = vector("rfc7030/a4_serverkeygen_response_cert.b64") else { return };
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let body = format!(
        "This is the preamble.  It is to be ignored.\n\
         --estServerExampleBoundary\n\
         Content-Type: application/pkcs8\n\
         Content-Transfer-Encoding: base64\n\n{}\
         --estServerExampleBoundary\n\
         Content-Type: application/pkcs7-mime; smime-type=certs-only\n\
         Content-Transfer-Encoding: base64\n\n{}\
         --estServerExampleBoundary--\n\
         This is the epilogue.  It is also to be ignored.\n",
        text(&key),
        text(&chain)
    );
    let content_type = "multipart/mixed ; boundary=estServerExampleBoundary";
    let answer = KeyAnswer::parse(content_type, body.as_bytes()).unwrap();
    let KeyPart::Plain(read) = answer.key() else { panic!("a plain key") };
    assert_eq!(read.pkcs8_der(), key_der);
    assert_eq!(answer.certificates().len(), 1);
}

#[test]
fn an_answer_comes_back_as_it_was() {
    let pair = KeyPair::generate().unwrap();
    let certificate = certificate_of(&pair);
    for key in [plain(&pair), KeyPart::Encrypted(vec![0x30, 0x82, 1, 0])] {
        for folding in [Folding::Never, Folding::WhenLong] {
            let boundary = Boundary::from_random([0xab; 16]);
            let answer = KeyAnswerBody::new(&key, &certificate, &boundary, folding);
            let read = KeyAnswer::parse(answer.content_type(), answer.body()).unwrap();
            assert_eq!((read.key(), read.certificates()), (&key, &[certificate.clone()][..]));
            assert_eq!(answer.clone().into_body(), answer.body());
        }
    }
}

/// libest's parser: the body begins with the boundary, parts have these two headers alone, lines end with CR LF.
#[test]
fn an_answer_has_the_form_that_libest_and_globalsign_read() {
    let pair = KeyPair::generate().unwrap();
    let boundary = Boundary::from_random([7; 16]);
    let answer =
        KeyAnswerBody::new(&plain(&pair), &certificate_of(&pair), &boundary, Folding::Never);
    assert_eq!(answer.content_type(), format!("multipart/mixed; boundary={boundary}"));
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    let lines: Vec<&str> = text.split("\r\n").collect();
    let delimiter = format!("--{boundary}");
    let encoding = "Content-Transfer-Encoding: base64";
    let (key, chain) = (lines[4], lines[9]);
    let last = format!("{delimiter}--");
    let first_type = "Content-Type: application/pkcs8";
    let second_type = "Content-Type: application/pkcs7-mime; smime-type=certs-only";
    let expected = [
        &delimiter,
        first_type,
        encoding,
        "",
        key,
        &delimiter,
        second_type,
        encoding,
        "",
        chain,
        &last,
        "",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn other_servers_spellings_are_read() {
    let pair = KeyPair::generate().unwrap();
    let key = encode(pair.serialized_der(), Folding::Never);
    let pem = pair.serialize_pem();
    for key in [key.trim(), &pem] {
        for kind in ["application/pkcs8", "Application/PKCS8; charset=us-ascii"] {
            let answer = parse(&[certificates(), part(kind, key)]).unwrap();
            assert_eq!(answer.key(), &plain(&pair));
        }
    }
    let encrypted = part("application/pkcs7-mime; smime-type=\"Server-Generated-Key\"", "MAA=");
    let answer = parse(&[encrypted, part("text/plain", "hello"), certificates()]).unwrap();
    assert_eq!(answer.key(), &KeyPart::Encrypted(vec![0x30, 0]));
    let body = format!("--b \n{}", parse_lines(&[part("application/pkcs8", &pem), certificates()]));
    KeyAnswer::parse("multipart/mixed; boundary=\"b\"", body.as_bytes()).unwrap();
}

/// The parts with LF alone, and blanks behind the boundaries.
fn parse_lines(parts: &[String]) -> String {
    let text = format!("{}--b--", parts.concat()).replace("\r\n", "\n").replace("--b\n", "--b \n");
    text.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn answers_that_are_none_are_refused_by_name() {
    let pair = KeyPair::generate().unwrap();
    let key = part("application/pkcs8", encode(pair.serialized_der(), Folding::Never).trim());
    parse(&[key.clone(), certificates()]).unwrap();
    for (parts, error) in [
        (vec![], MultipartError::Keys { count: 0 }),
        (vec![certificates()], MultipartError::Keys { count: 0 }),
        (vec![key.clone(), key.clone(), certificates()], MultipartError::Keys { count: 2 }),
        (vec![key.clone()], MultipartError::Certificates { count: 0 }),
        (
            vec![key.clone(), certificates(), certificates()],
            MultipartError::Certificates { count: 2 },
        ),
        (vec!["--b\r\nno header\r\n\r\n".to_owned()], MultipartError::Header),
        (vec![format!("--b\r\n{}", "X: y\r\n".repeat(40))], MultipartError::TooMany("headers")),
        (vec![part("text/plain", ""); 9], MultipartError::TooMany("parts")),
    ] {
        assert_eq!(parse(&parts), Err(error), "{parts:?}");
    }
    let garbage = parse(&[part("application/pkcs8", "no base64!"), certificates()]);
    assert!(matches!(garbage, Err(MultipartError::Transfer(_))), "{garbage:?}");
    let no_cms = parse(&[key.clone(), part(media_type::CERTS_ONLY, "MAA=")]);
    assert!(matches!(no_cms, Err(MultipartError::CertsOnly(_))), "{no_cms:?}");
    let whole = format!("{key}{}--b--", certificates());
    for (content_type, error) in [
        ("", MultipartError::NotMultipart),
        ("application/pkcs8", MultipartError::NotMultipart),
        ("multipart/mixed", MultipartError::Boundary),
        ("multipart/mixed; boundary=", MultipartError::Boundary),
        ("multipart/mixed; boundary=\"a\u{e9}\"", MultipartError::Boundary),
        ("multipart/mixed; boundary=c", MultipartError::Unterminated),
    ] {
        assert_eq!(KeyAnswer::parse(content_type, whole.as_bytes()), Err(error), "{content_type}");
    }
    let cut = &whole[..whole.len() - 4];
    let refused = KeyAnswer::parse(CONTENT_TYPE, cut.as_bytes());
    assert_eq!(refused, Err(MultipartError::Unterminated));
    let octets = 600 * 1024;
    let refused = KeyAnswer::parse(CONTENT_TYPE, &vec![b' '; octets]);
    assert_eq!(refused, Err(MultipartError::TooLong { octets }));
}

#[test]
fn boundaries_are_those_of_the_standard() {
    for text in ["b", "a b", "x'()+_,-./:=?", &"x".repeat(70)] {
        let boundary = Boundary::parse(text).unwrap();
        let answer = KeyAnswerBody::new(
            &KeyPart::Encrypted(vec![0x30, 0]),
            &certificate(),
            &boundary,
            Folding::Never,
        );
        KeyAnswer::parse(answer.content_type(), answer.body()).unwrap();
    }
    for text in ["", "b ", "a\"b", "\u{e9}", &"x".repeat(71)] {
        assert_eq!(Boundary::parse(text), Err(MultipartError::Boundary), "{text}");
    }
}

#[test]
fn a_key_shows_itself_to_nobody() {
    let key = GeneratedKey::from_pkcs8_der(b"secret");
    let boundary = Boundary::from_random([7; 16]);
    let part = KeyPart::Plain(key);
    let body = KeyAnswerBody::new(&part, &certificate(), &boundary, Folding::Never);
    for debug in [format!("{part:?}"), format!("{body:?}")] {
        assert!(!debug.contains("115") && !debug.contains("secret"), "{debug}");
    }
}
