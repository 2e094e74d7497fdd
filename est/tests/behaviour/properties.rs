//! What holds for whatever is put in: what is written is read again, and nothing that is read makes a reader panic.

use brski_est::authentication::Credentials;
use brski_est::client::{EstServer, KeyDelivery};
use brski_est::csr::{Csr, GeneralName, check};
use brski_est::csr_attributes::{ClientFacts, CsrAttributes, CsrPlan, KeyTemplate, Linking};
use brski_est::csr_builder::CsrRequest;
use brski_est::path::{self, Label, Operation, Request};
use brski_est::renewal_info::{CertificateId, RenewalInfo, Window};
use brski_est::server_keygen::{
    Boundary, GeneratedKey, KeyAnswer, KeyAnswerBody, KeyPart, KeyProtection,
};
use brski_est::{certs_only, transfer};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;

use crate::support::{Numbers, at, certificate, csr, key, now};

fn folding() -> impl Strategy<Value = transfer::Folding> {
    prop_oneof![
        proptest::strategy::Just(transfer::Folding::Never),
        proptest::strategy::Just(transfer::Folding::WhenLong)
    ]
}

fn der() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..3000).prop_map(|contents| {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        [&[0x30, 0x82][..], &length, &contents].concat()
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, cases: 128, ..Config::default() })]

    #[test]
    fn any_der_comes_out_of_its_base64(der in der(), folding in folding()) {
        prop_assert_eq!(transfer::decode(transfer::encode(&der, folding).as_bytes()), Ok(der.clone()));
        prop_assert_eq!(transfer::decode(&der), Ok(der));
    }

    #[test]
    fn any_csr_says_what_it_was_built_with(
        names in vec("[a-z]{1,9}(\\.[a-z]{1,9}){0,3}", 0..4),
        common_name in prop::option::of("[ -~]{1,20}"),
        password in prop::option::of("[ -~]{0,40}"),
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut request = CsrRequest::new(&names);
        if let Some(name) = &common_name {
            request = request.with_common_name(name);
        }
        if let Some(password) = &password {
            request = request.with_challenge_password(password);
        }
        let read = Csr::parse(&request.sign(&key()).unwrap()).unwrap();
        let expected: Vec<GeneralName> =
            names.iter().map(|name| GeneralName::Dns((*name).to_owned())).collect();
        prop_assert_eq!(read.subject_alt_names().unwrap(), expected);
        prop_assert_eq!(read.common_names(), common_name.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(read.challenge_password().map(str::to_owned), password);
        prop_assert!(read.prove().is_ok());
    }

    #[test]
    fn any_change_of_a_csr_proves_nothing(positions in vec((any::<prop::sample::Index>(), 1_u8..), 1..4)) {
        let csr = csr();
        let mut changed = csr.clone();
        for (position, difference) in positions {
            changed[position.index(csr.len())] ^= difference;
        }
        if changed != csr && let Ok(read) = Csr::parse(&changed) {
            prop_assert!(read.prove().is_err());
        }
    }

    #[test]
    fn any_attributes_come_back_and_are_done(
        name in prop::option::of("[a-z]{1,20}\\.example\\.org"),
        choice in 0_usize..8,
        is_linked in any::<bool>(),
    ) {
        let keys = [
            KeyTemplate::EcP256, KeyTemplate::EcP384, KeyTemplate::EcP521, KeyTemplate::Ed25519,
            KeyTemplate::Rsa2048, KeyTemplate::Rsa3072, KeyTemplate::Rsa4096,
        ];
        let attributes = CsrAttributes {
            dns_name: name.clone(),
            key: keys.get(choice).copied(),
            linking: if is_linked { Linking::Required } else { Linking::NotAsked },
        };
        for der in [attributes.to_der(), attributes.to_list_der()] {
            prop_assert_eq!(CsrAttributes::from_der(&der), Ok(attributes.clone()));
            let plan = CsrPlan::from_der(&der).unwrap();
            let facts = ClientFacts::new().with_challenge_password("x");
            let csr = plan.request(&facts).unwrap().sign(&key()).unwrap();
            let csr = Csr::parse(&csr).unwrap();
            match &name {
                Some(name) => prop_assert!(check::names(&csr, name).is_ok()),
                None => prop_assert!(csr.subject_alt_names().unwrap().is_empty()),
            }
        }
    }

    #[test]
    fn any_path_of_ours_is_read(
        label in prop::option::of("[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"),
        operation in 0_usize..7,
        key_identifier in vec(any::<u8>(), 1..64),
        serial in vec(any::<u8>(), 1..64),
    ) {
        let operation = Operation::ALL[operation];
        let Ok(label) = label.map(|text| Label::parse(&text)).transpose() else {
            // One of the labels was an operation's name.
            return Ok(());
        };
        let id = CertificateId::new(&key_identifier, &serial).unwrap();
        prop_assert_eq!(&CertificateId::parse(&id.to_string()).unwrap(), &id);
        let mut text = path::of(label.as_ref(), operation);
        if operation == Operation::RenewalInfo {
            text = format!("{text}/{id}");
        }
        let request = Request::parse(&text).unwrap();
        prop_assert_eq!(request.operation(), operation);
        prop_assert_eq!(request.label(), label.as_ref());
    }

    #[test]
    fn any_text_is_a_path_or_none(text in "\\PC{0,80}", tail in "[a-z%/.0-9-]{0,40}") {
        for text in [text, format!("{}/{tail}", path::PREFIX)] {
            if let Ok(request) = Request::parse(&text)
                && request.operation() != Operation::RenewalInfo
            {
                let written = path::of(request.label(), request.operation());
                prop_assert_eq!(Request::parse(&written), Ok(request));
            }
        }
    }

    #[test]
    fn any_window_comes_back_in_its_answer(start in 0_u64..250_000_000_000, length in 1_u64..1_000_000) {
        let window = Window::new(at(start), at(start + length)).unwrap();
        let info = RenewalInfo::new(window);
        prop_assert_eq!(RenewalInfo::from_json(&info.to_json()).unwrap(), info);
        let moment = window.moment(length).as_secs();
        prop_assert!(moment >= start && moment < start + length);
    }

    #[test]
    fn any_validity_has_a_window_inside(from in 0_u64..4_000_000_000, life in 2_u64..4_000_000_000) {
        let window = Window::of_validity(at(from), at(from + life)).unwrap();
        prop_assert!(window.start().as_secs() >= from + life / 2);
        prop_assert!(window.end().as_secs() <= from + life);
    }

    #[test]
    fn any_key_comes_out_of_its_answer(
        octets in vec(any::<u8>(), 0..2000),
        random in any::<[u8; 16]>(),
        folding in folding(),
        is_encrypted in any::<bool>(),
    ) {
        let octets = [&[0x30][..], &octets].concat();
        let key = match is_encrypted {
            true => KeyPart::Encrypted(octets),
            false => KeyPart::Plain(GeneratedKey::from_pkcs8_der(&octets)),
        };
        let own = certificate();
        let answer = KeyAnswerBody::new(&key, &own, &Boundary::from_random(random), folding);
        let read = KeyAnswer::parse(answer.content_type(), answer.body()).unwrap();
        prop_assert_eq!(read.key(), &key);
        prop_assert_eq!(read.certificates(), &[own]);
    }

    #[test]
    fn any_credentials_come_out_of_their_header(user in "[ -9;-~]{0,40}", password in "[ -~]{0,40}") {
        let credentials = Credentials::new(&user, &password).unwrap();
        let mut request = http::Request::new(());
        credentials.authorize_basic(&mut request);
        let header = request.headers()["authorization"].to_str().unwrap();
        let read = Credentials::from_basic(header).unwrap();
        prop_assert_eq!((read.user(), read.password()), (user.as_str(), password.as_str()));
    }

    #[test]
    fn any_octets_are_read_without_panic(octets in vec(any::<u8>(), 0..300)) {
        read_every_way(&octets);
    }
}

#[test]
fn no_changed_message_panics() {
    let attributes = CsrAttributes {
        dns_name: Some("a.example.org".into()),
        key: Some(KeyTemplate::Rsa2048),
        linking: Linking::Required,
    };
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}-----END CERTIFICATE REQUEST-----\n",
        transfer::encode(&csr(), transfer::Folding::WhenLong)
    );
    let key = KeyPart::Plain(GeneratedKey::from_pkcs8_der(&[0x30, 0]));
    let boundary = Boundary::parse("b").unwrap();
    let answer = KeyAnswerBody::new(&key, &certificate(), &boundary, transfer::Folding::Never);
    let seeds = [
        csr(),
        attributes.to_der(),
        certs_only::encode(&[&certificate()]),
        certificate().to_vec(),
        pem.into_bytes(),
        answer.into_body(),
        RenewalInfo::new(Window::new(at(1), at(2)).unwrap()).to_json(),
    ];
    let mut numbers = Numbers::new();
    for seed in seeds {
        for _ in 0..1500 {
            let mut octets = seed.clone();
            for _ in 0..=numbers.next() % 3 {
                let position = numbers.next() % octets.len();
                octets[position] = u8::try_from(numbers.next() % 256).unwrap();
            }
            octets.truncate(numbers.next() % (octets.len() + 1));
            read_every_way(&octets);
        }
    }
}

fn read_every_way(octets: &[u8]) {
    if let Ok(csr) = Csr::parse(octets) {
        let _ = (csr.common_names(), csr.subject_alt_names(), csr.key_usage());
        let _ = (csr.extended_key_usage(), csr.basic_constraints(), csr.subject_attributes());
        let _ = (check::names(&csr, "a"), check::extensions(&csr, &[], &[]), check::key(&csr, &[]));
        let _ = KeyProtection::of(&csr);
        let again = CsrRequest::like(&csr).sign(&key()).unwrap();
        assert_eq!(Csr::parse(&again).unwrap().extensions(), csr.extensions());
        let _ = csr.prove();
    }
    if let Ok(plan) = CsrPlan::from_der(octets) {
        let facts = ClientFacts::new().with_challenge_password("x");
        if let Ok(request) = plan.request(&facts) {
            let _ = Csr::parse(&request.sign(&key()).unwrap());
        }
        let _ = CsrAttributes::from_der(octets);
    }
    let _ = (certs_only::decode(octets), transfer::decode(octets), transfer::decode_csr(octets));
    let _ = RenewalInfo::from_json(octets);
    let _ = KeyAnswer::parse("multipart/mixed; boundary=b", octets);
    let certificate = octets.to_vec().into();
    let _ = (CertificateId::of(&certificate), Window::of_certificate(&certificate));
    let text = String::from_utf8_lossy(octets);
    let _ = (Request::parse(&text), CertificateId::parse(&text), Credentials::from_basic(&text));
    let server = EstServer::from_url("https://est.example.org").unwrap();
    for status in [200, 403] {
        let response = http::Response::builder().status(status).body(octets).unwrap();
        let _ = server.read_enrolled(&response, key_of_nobody(), now());
        let _ = server.read_csr_attrs(&response, now());
        let _ = server.read_generated(&response, KeyDelivery::Plain, now());
    }
}

fn key_of_nobody() -> &'static [u8] {
    &[0x30, 0]
}
