//! The numbers of CBOR vouchers, as draft-ietf-anima-rfc8366bis publishes them.

use std::collections::BTreeMap;

use brski_voucher::artefact::{
    Artefact, Binding, PledgeRequest, Proximity, RegistrarRequest, Voucher, VoucherFields,
};
use brski_voucher::encoding::{Encoding, Strictness};
use ciborium::Value as Item;

use super::Folder;
use crate::support::{World, now};

/// The published numbers by name: the container as `""`, its leaves by theirs.
fn table(folder: &Folder, module: &str) -> BTreeMap<String, u64> {
    let text = String::from_utf8(folder.octets(&format!("{module}-sid.txt"))).unwrap();
    let container = format!("/{module}:voucher");
    let lines = text.lines().filter_map(|line| {
        let (number, path) = line.split_once(" data ")?;
        let name = path.trim().strip_prefix(&container)?.trim_start_matches('/');
        Some((name.to_owned(), number.parse().unwrap()))
    });
    lines.collect()
}

/// What each leaf is in CBOR, if this library knows it.
fn example(name: &str) -> Option<Item> {
    Some(match name {
        "assertion" => Item::from(1),
        "created-on" | "expires-on" | "last-renewal-date" => Item::from("2026-01-01T00:00:00Z"),
        "domain-cert-revocation-checks" => Item::from(true),
        "idevid-issuer" => Item::Bytes(vec![4, 2, 0x30, 0]),
        "serial-number" | "additional-configuration-url" | "est-domain" => Item::from(name),
        "nonce"
        | "pinned-domain-cert"
        | "pinned-domain-pubk"
        | "pinned-domain-pubk-sha256"
        | "prior-signed-voucher-request"
        | "proximity-registrar-cert"
        | "proximity-registrar-pubk"
        | "proximity-registrar-pubk-sha256" => Item::Bytes(name.as_bytes().to_vec()),
        _ => return None,
    })
}

/// Content with these leaves, each under its published number: as a delta, or whole under tag 47.
fn content(sids: &BTreeMap<String, u64>, names: &[&str], is_whole: bool) -> Vec<u8> {
    let container = sids[""];
    let key = |sid: u64| match is_whole {
        true => Item::Tag(47, Box::new(Item::from(sid))),
        false => Item::from(sid - container),
    };
    let leaves = names.iter().map(|name| (key(sids[*name]), example(name).unwrap())).collect();
    let mut octets = Vec::new();
    let root = Item::Map(vec![(Item::from(container), Item::Map(leaves))]);
    ciborium::into_writer(&root, &mut octets).unwrap();
    octets
}

fn read<T: Artefact>(octets: &[u8]) -> T {
    T::read(octets, Encoding::Cose, Strictness::Standard, &mut Vec::new()).unwrap()
}

#[test]
fn reads_each_leaf_of_a_voucher_under_its_published_number() {
    let Some(folder) = Folder::of("rfc8366bis") else {
        return;
    };
    let sids = table(&folder, "ietf-voucher");
    assert_eq!((sids[""], sids.len()), (2451, 16));
    let known: Vec<&str> =
        sids.keys().map(String::as_str).filter(|name| example(name).is_some()).collect();
    // The container is no leaf, and extensions and manufacturer-proprietary are ignored.
    assert_eq!(known.len(), sids.len() - 3);
    for is_whole in [false, true] {
        let voucher: Voucher = read(&content(&sids, &known, is_whole));
        assert_eq!(voucher.assertion().unwrap().as_str(), "logged");
        assert!(voucher.created_on().is_some() && voucher.expires_on().is_some());
        assert!(voucher.last_renewal_date().is_some());
        assert_eq!(voucher.domain_cert_revocation_checks(), Some(true));
        assert_eq!(voucher.idevid_issuer(), Some(&[4, 2, 0x30, 0][..]));
        assert_eq!(voucher.nonce().unwrap().as_str(), "bm9uY2U=");
        let octets = |name: &'static str| Some(name.as_bytes());
        assert_eq!(voucher.pinned_domain_cert(), octets("pinned-domain-cert"));
        assert_eq!(voucher.pinned_domain_pubk(), octets("pinned-domain-pubk"));
        assert_eq!(voucher.pinned_domain_pubk_sha256(), octets("pinned-domain-pubk-sha256"));
        assert_eq!(voucher.serial_number().as_str(), "serial-number");
        assert_eq!(voucher.additional_configuration_url(), Some("additional-configuration-url"));
        assert_eq!(voucher.est_domain(), Some("est-domain"));
    }
}

#[test]
fn reads_each_leaf_of_a_request_under_its_published_number() {
    let Some(folder) = Folder::of("rfc8366bis") else {
        return;
    };
    let sids = table(&folder, "ietf-voucher-request");
    assert_eq!((sids[""], sids.len()), (2501, 23));
    for is_whole in [false, true] {
        let names = [
            "assertion",
            "created-on",
            "idevid-issuer",
            "nonce",
            "prior-signed-voucher-request",
            "serial-number",
        ];
        let request: RegistrarRequest = read(&content(&sids, &names, is_whole));
        assert!(request.assertion().is_some() && request.created_on().is_some());
        assert!(request.idevid_issuer().is_some() && request.nonce().is_some());
        let prior = request.prior_signed_voucher_request();
        assert_eq!(prior, Some(&b"prior-signed-voucher-request"[..]));
        assert_eq!(request.serial_number().as_str(), "serial-number");
        type Wrap = fn(Vec<u8>) -> Proximity;
        let kinds: [(&str, Wrap); 3] = [
            ("proximity-registrar-cert", Proximity::Certificate),
            ("proximity-registrar-pubk", Proximity::PublicKey),
            ("proximity-registrar-pubk-sha256", Proximity::PublicKeySha256),
        ];
        for (name, wrap) in kinds {
            let names = ["serial-number", "nonce", name];
            let request: PledgeRequest = read(&content(&sids, &names, is_whole));
            assert_eq!(request.proximity(), Some(&wrap(name.as_bytes().to_vec())));
        }
    }
}

/// The keys of the leaves that are written, beside the names that JSON has for them.
#[test]
fn writes_each_leaf_under_its_published_number() {
    let Some(folder) = Folder::of("rfc8366bis") else {
        return;
    };
    let world = World::new();
    let mut ending = world.voucher_fields();
    ending.binding = Binding::Renewable { expires_on: now(), last_renewal_date: now() };
    let signed = |encoding| {
        let (device, registrar, masa) = (&world.device, &world.registrar, &world.masa);
        let voucher =
            |fields: VoucherFields| fields.sign_as(encoding, &masa.signer, &masa.chain(), now());
        [
            world.pledge_fields().sign_as(encoding, &device.signer, &device.chain(), now()),
            world.registrar_fields().sign_as(
                encoding,
                &registrar.signer,
                &registrar.chain(),
                now(),
            ),
            voucher(world.voucher_fields()),
            voucher(ending.clone()),
        ]
        .map(Result::unwrap)
    };
    let modules = ["ietf-voucher-request", "ietf-voucher-request", "ietf-voucher", "ietf-voucher"];
    let both = signed(Encoding::Jws).into_iter().zip(signed(Encoding::Cose));
    for (module, (json, cbor)) in modules.into_iter().zip(both) {
        let sids = table(&folder, module);
        let names = json_names(&json, module);
        let mut expected: Vec<u64> = names.iter().map(|name| sids[name] - sids[""]).collect();
        expected.sort_unstable();
        assert_eq!(cbor_keys(&cbor, sids[""]), expected, "{names:?}");
    }
}

fn json_names(jws: &[u8], module: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let jws: serde_json::Value = serde_json::from_slice(jws).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(jws["payload"].as_str().unwrap()).unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    payload[format!("{module}:voucher")].as_object().unwrap().keys().cloned().collect()
}

/// The keys of the container, in the order in which they stand.
fn cbor_keys(cose: &[u8], container: u64) -> Vec<u64> {
    let message: Item = ciborium::from_reader(cose).unwrap();
    let Item::Tag(18, parts) = message else {
        panic!("no COSE_Sign1");
    };
    let payload = parts.as_array().unwrap()[2].as_bytes().unwrap().clone();
    let root: Item = ciborium::from_reader(&payload[..]).unwrap();
    let [(key, leaves)] = &root.as_map().unwrap()[..] else {
        panic!("one container");
    };
    assert_eq!(*key, Item::from(container));
    let keys = leaves.as_map().unwrap().iter();
    keys.map(|(key, _)| u64::try_from(key.as_integer().unwrap()).unwrap()).collect()
}
