//! The vectors of this project: what each encoding's reader must refuse, and what it must read all the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brski_voucher::artefact::{Artefact, PledgeRequest, RegistrarRequest, Voucher};
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::verify::Unverified;

/// One vector: its name and its fields.
struct Vector<'a> {
    name: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Vector<'a> {
    fn all(text: &'a str) -> Vec<Self> {
        text.split("\n# ").skip(1).map(Self::parse).collect()
    }

    fn parse(text: &'a str) -> Self {
        let (name, fields) = text.split_once('\n').unwrap();
        let fields = fields.lines().filter_map(|line| line.split_once(':'));
        Self { name, fields: fields.map(|(name, value)| (name, value.trim_start())).collect() }
    }

    fn optional(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    fn field(&self, name: &str) -> &'a str {
        self.optional(name).unwrap_or_else(|| panic!("{}: no field {name}", self.name))
    }

    fn hex(&self, name: &str) -> Vec<u8> {
        let digits = self.field(name).as_bytes();
        let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn octets(&self, encoding: Encoding) -> Vec<u8> {
        match (self.optional("text"), self.optional("octets"), encoding) {
            (Some(text), ..) => text.as_bytes().to_vec(),
            (None, Some(_), _) => self.hex("octets"),
            (None, None, Encoding::Cose) => {
                cose(&self.hex("protected"), &self.hex("unprotected"), &self.hex("payload"))
            }
            _ => jws(self.field("protected"), self.field("payload")),
        }
    }

    fn read<T: Artefact>(&self, encoding: Encoding) -> String {
        let strictness = match self.field("strictness") {
            "standard" => Strictness::Standard,
            "lenient" => Strictness::Lenient,
            other => panic!("{}: strictness {other}", self.name),
        };
        match Unverified::<T>::parse_as(&self.octets(encoding), encoding, strictness) {
            Ok(artefact) => {
                let forgiven: Vec<&str> =
                    artefact.forgiven().iter().map(|quirk| quirk.as_str()).collect();
                assert_eq!(
                    forgiven.join(" "),
                    self.optional("forgiven").unwrap_or(""),
                    "{}",
                    self.name
                );
                let is_lenient = strictness == Strictness::Lenient;
                assert!(!is_lenient || !forgiven.is_empty(), "{}", self.name);
                "ok".to_owned()
            }
            Err(error) => format!("{error:?}"),
        }
    }
}

fn jws(protected: &str, payload: &str) -> Vec<u8> {
    let (protected, payload) = (URL_SAFE_NO_PAD.encode(protected), URL_SAFE_NO_PAD.encode(payload));
    let signature = format!(r#"{{"protected":"{protected}","signature":"AA"}}"#);
    format!(r#"{{"payload":"{payload}","signatures":[{signature}]}}"#).into_bytes()
}

fn cose(protected: &[u8], unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
    let string = |octets: &[u8]| {
        let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
        [&[0x59][..], &length, octets].concat()
    };
    [&[0xd2, 0x84][..], &string(protected), unprotected, &string(payload), &[0x41, 0]].concat()
}

/// Reads each vector; gives how many were refused and how many read.
fn run(text: &str, encoding: Encoding) -> (usize, usize) {
    let (mut refused, mut read) = (0, 0);
    for vector in Vector::all(text) {
        let outcome = match vector.field("artefact") {
            "voucher" => vector.read::<Voucher>(encoding),
            "pledge-request" => vector.read::<PledgeRequest>(encoding),
            "registrar-request" => vector.read::<RegistrarRequest>(encoding),
            other => panic!("{}: artefact {other}", vector.name),
        };
        let expect = vector.field("expect");
        assert!(!vector.field("clause").is_empty(), "{}", vector.name);
        let as_expected =
            if expect == "ok" { outcome == "ok" } else { outcome.starts_with(expect) };
        assert!(as_expected, "{}: expected {expect}, got {outcome}", vector.name);
        if expect == "ok" { read += 1 } else { refused += 1 }
    }
    assert!(refused > read, "negative vectors outnumber the others");
    (refused, read)
}

#[test]
fn jws_vectors() {
    assert_eq!(run(include_str!("../vectors/jws.txt"), Encoding::Jws), (74, 14));
}

#[test]
fn cose_vectors() {
    assert_eq!(run(include_str!("../vectors/cose.txt"), Encoding::Cose), (61, 14));
}

#[test]
fn cms_vectors() {
    assert_eq!(run(include_str!("../vectors/cms.txt"), Encoding::Cms), (51, 14));
}
