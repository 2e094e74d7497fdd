//! Commands that change or show what is kept, without a daemon.

use std::fs;
use std::sync::Arc;

use acme_bridge::{Clock, Spending};
use arc_swap::ArcSwap;
use brski_registrar::clock::SystemClock;
use brski_registrar::config::Config;
use brski_registrar::identity::live::LiveIdentity;
use brski_registrar::store::model::{
    Device, DeviceState, Entry, Id, Identity, IdevidOptions, KnownDevice, Manufacturer,
    MasaOptions, Millis, SeenIdevid, Sha256,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store as _};
use brski_registrar::trail::keeper::Keeper;

use super::{Made, registrar, stderr, stdout};

#[test]
fn manufacturers_are_added_and_listed_without_a_daemon() {
    let made = Made::new(&[]);
    let ca = made.file("device-ca.pem").to_string_lossy().into_owned();
    let add = |name: &str, rest: &[&str]| {
        let fixed = ["manufacturer", "add", "--name", name, "--ca", &ca];
        made.run(&fixed.iter().chain(rest).copied().collect::<Vec<_>>())
    };
    let output =
        add("pumps", &["--masa-url", "masa.example.com:9443", "--masa-host", "masa.example.com"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let list = stdout(&made.run(&["manufacturer", "list"]));
    assert!(list.contains("pumps") && list.contains("masa.example.com"), "{list}");
    let again = add("pumps", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("already"), "{}", stderr(&again));
    for (name, rest) in [
        ("a b", vec![]),
        ("x", vec!["--masa-url", "https://a@b"]),
        ("x", vec!["--masa-host", "a/b"]),
    ] {
        let refused = add(name, &rest);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    }
    let events = stdout(&made.run(&["event", "list", "--json"]));
    assert_eq!(events.matches("manufacturer-added").count(), 1);
}

#[test]
fn settings_of_a_manufacturer_are_changed_one_by_one() {
    let made = Made::new(&[]);
    let ca = made.file("device-ca.pem").to_string_lossy().into_owned();
    let added = made.run(&[
        "manufacturer",
        "add",
        "--name",
        "pumps",
        "--ca",
        &ca,
        "--masa-url",
        "masa.example.com",
        "--serial-from",
        "common-name=^SN (.+)$",
        "--accept-ended",
    ]);
    assert!(added.status.success(), "{}", stderr(&added));
    let set = |rest: &[&str]| made.run(&[&["manufacturer", "set"], rest].concat());
    let json = |output: &std::process::Output| -> serde_json::Value {
        assert!(output.status.success(), "{}", stderr(output));
        serde_json::from_str(&stdout(output)).unwrap()
    };
    let changed = json(&set(&["pumps", "--accept-ended", "no", "--json"]));
    assert_eq!(changed["idevid"]["accept_ended"], false);
    assert_eq!(changed["idevid"]["serial"][0]["pattern"], "^SN (.+)$", "it stays");
    assert_eq!(changed["masa_url"], "masa.example.com");
    let changed = json(&set(&[
        "pumps",
        "--serial-from",
        "hardware-module-name",
        "--serial-from",
        "subject-serial-number",
        "--masa-url",
        "idevid",
        "--masa-host",
        "a.example",
        "--masa-host",
        "b.example",
        "--audit-log",
        "off",
        "--est-without-brski",
        "yes",
        "--voucher-ca",
        &ca,
        "--masa-ca",
        &ca,
        "--json",
    ]));
    assert_eq!(changed["idevid"]["serial"].as_array().unwrap().len(), 2);
    assert_eq!((&changed["masa_url"], &changed["masa"]["audit_log"]), (&().into(), &"off".into()));
    assert_eq!(
        (&changed["masa_hosts"][1], &changed["est_without_brski"]),
        (&"b.example".into(), &true.into())
    );
    let told = set(&["pumps", "--masa-host", "any", "--audit-log", "configured", "--ca", &ca]);
    assert!(stdout(&told).starts_with("changed manufacturer pumps ("), "{}", stderr(&told));
    let list = json(&made.run(&["manufacturer", "list", "--json"]));
    assert_eq!(list[0]["masa_hosts"], serde_json::json!([]));
    assert_eq!(list[0]["masa"]["audit_log"], serde_json::Value::Null);
    let events = stdout(&made.run(&["event", "list", "--json"]));
    assert_eq!(events.matches("manufacturer-changed").count(), 3);
    assert!(events.contains("serial numbers from hardware-module-name, subject-serial-number"));
}

#[test]
fn settings_that_are_none_change_nothing_of_a_manufacturer() {
    let made = Made::new(&[]);
    let ca = made.file("device-ca.pem").to_string_lossy().into_owned();
    let added = made.run(&["manufacturer", "add", "--name", "pumps", "--ca", &ca]);
    assert!(added.status.success(), "{}", stderr(&added));
    let before = stdout(&made.run(&["manufacturer", "list", "--json"]));
    let list = made.file("list.csv").to_string_lossy().into_owned();
    let listed = format!("list={list}");
    for (content, rest, code, words) in [
        ("", vec!["valves", "--accept-ended", "yes"], 1, "no manufacturer \"valves\""),
        ("", vec!["pumps"], 2, "nothing is to be changed"),
        ("", vec!["pumps", "--accept-ended", "perhaps"], 2, "perhaps"),
        ("", vec!["pumps", "--serial-from", "somewhere"], 1, "none of subject-serial-number"),
        ("", vec!["pumps", "--serial-from", "subject=("], 2, "cannot be used"),
        ("", vec!["pumps", "--serial-from", "common-name"], 1, "none of"),
        ("", vec!["pumps", "--masa-host", "a/b"], 2, "neither HOST"),
        ("", vec!["pumps", "--masa-url", "https://a@b"], 2, "does not belong"),
        ("", vec!["pumps", "--serial-from", &listed], 2, "0 devices"),
        ("P-1\n", vec!["pumps", "--serial-from", &listed], 1, "line 1: there is no comma"),
        ("0a,P-1\n", vec!["pumps", "--serial-from", &listed], 1, "line 1: it does not begin"),
    ] {
        fs::write(&list, content).unwrap();
        let refused = made.run(&[&["manufacturer", "set"], rest.as_slice()].concat());
        assert_eq!(refused.status.code(), Some(code), "{rest:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{rest:?}: {}", stderr(&refused));
    }
    assert_eq!(stdout(&made.run(&["manufacturer", "list", "--json"])), before);
    let events = stdout(&made.run(&["event", "list", "--json"]));
    assert!(!events.contains("manufacturer-changed"), "{events}");
}

#[test]
fn an_unknown_device_is_a_failure_that_says_where_to_look() {
    let made = Made::new(&[]);
    let output = made.run(&["device", "show", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("registrar device list"), "{}", stderr(&output));
    let status = made.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(stderr(&status).contains("registrar serve"), "{}", stderr(&status));
}

#[tokio::test]
async fn an_ambiguous_device_is_a_usage_error_with_the_candidates() {
    let made = Made::new(&[]);
    {
        let store = SqliteStore::open(&made.file("registrar.db"), "test").unwrap();
        for (number, manufacturer) in [(1, "pumps"), (2, "valves")] {
            let (manufacturer, device) = twin(number, manufacturer);
            let changes = vec![Change::AddManufacturer(manufacturer), Change::AddDevice(device)];
            store.commit(changes, Vec::new()).await.unwrap();
        }
    }
    let output = made.run(&["device", "show", "TWIN"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for number in [1, 2] {
        let (manufacturer, device) = twin(number, "");
        assert!(text.contains(manufacturer.id.as_str().get(..4).unwrap()), "{text}");
        assert!(text.contains(device.device.name.as_deref().unwrap()), "{text}");
    }
    let (_, first) = twin(1, "");
    let output = made.run(&["device", "show", first.device.name.as_deref().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(first.device.id.as_str()), "{}", stdout(&output));
}

/// A device of a manufacturer of its own, with the serial number that all of them have.
fn twin(number: u8, name: &str) -> (Manufacturer, KnownDevice) {
    let (id, at) = (Id::from_random([number; 16]), Millis(1));
    let manufacturer = Manufacturer {
        id: id.clone(),
        name: name.to_owned(),
        anchors: Vec::new(),
        masa_url: None,
        masa_anchors: Vec::new(),
        masa_hosts: Vec::new(),
        voucher_anchors: Vec::new(),
        masa: MasaOptions::default(),
        idevid: IdevidOptions::default(),
        entry: Entry::Voucher,
        created_at: at,
    };
    let device = Device {
        id: id.clone(),
        name: Some(format!("twin-{number}.iot.example.org")),
        profile: "default".to_owned(),
        site: None,
        state: DeviceState::Admitted,
        created_at: at,
        updated_at: at,
    };
    let identity = Identity::Idevid {
        manufacturer: id,
        serial: "TWIN".to_owned(),
        seen: Some(SeenIdevid { spki: Sha256::of(&[number]), certificate: vec![number].into() }),
    };
    (manufacturer, KnownDevice { device, identity })
}

#[test]
fn orders_and_accounts_without_a_daemon() {
    let made = Made::new(&[]);
    let listed = made.run(&["order", "list"]);
    assert_eq!(
        stdout(&listed),
        "ID  STATE  ISSUER  NAMES  TAKEN  PROBLEM\n",
        "{}",
        stderr(&listed)
    );
    assert_eq!(stdout(&made.run(&["order", "list", "--json"])), "[]\n");
    for (arguments, code, words) in [
        (vec!["order", "list", "--state", "lost"], 2, "states: intended"),
        (vec!["order", "list", "--device", "nobody"], 1, "device list"),
        (vec!["order", "show", "../devices"], 1, "there is no order"),
        (vec!["order", "retry", "x"], 1, "order list"),
        (vec!["order", "cancel", "x"], 1, "order list"),
        (vec!["acme", "account", "show", "local"], 1, "there is none"),
        (vec!["acme", "account", "rotate-key", "local"], 1, "kind = \"acme\""),
        (vec!["acme", "account", "deactivate", "local"], 1, "kind = \"acme\""),
    ] {
        let output = made.run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?} {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

/// Limits that are full again are forgotten, as many as there are.
#[tokio::test]
async fn limits_that_are_full_again_are_removed_in_small_steps() {
    let made = Made::new(&[]);
    let config = Config::load(&made.file("registrar.toml")).unwrap();
    let store = Arc::new(SqliteStore::open(&made.file("registrar.db"), "node").unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let spend = |number: usize, after: i64| {
        Change::SpendQuota(Spending { bucket: format!("ca/name/{number}"), before: None, after })
    };
    let later = clock.now() + 3_600_000;
    store.commit((0..1200).map(|number| spend(number, 1000)).collect(), vec![]).await.unwrap();
    store.commit(vec![spend(9999, later)], vec![]).await.unwrap();
    let now = Millis(clock.now());
    let identity = LiveIdentity::open(&config.identity, &*store, now).await.unwrap();
    let identity = Arc::new(identity);
    let keeper = Keeper {
        store: Arc::<SqliteStore>::clone(&store),
        clock,
        identity,
        node: "node".to_owned(),
        config: Arc::new(ArcSwap::from_pointee(config)),
    };
    keeper.prune().await.unwrap();
    assert_eq!(store.full_quotas(Millis(i64::MAX), 9).await.unwrap(), 1);
    assert_eq!(store.quotas(&["ca/name/9999".to_owned()]).await.unwrap(), [Some(later)]);
}

#[test]
fn wrong_files_and_names_are_refused_with_what_to_do() {
    let made = Made::new(&[]);
    let folder = made.folder.to_string_lossy().into_owned();
    let output = registrar(&["device", "list", "--config", &folder]);
    assert!(stderr(&output).contains("name the file in it"), "{}", stderr(&output));
    let key = made.file("text.toml");
    fs::write(&key, [0xff, 0xfe, 0x00]).unwrap();
    let output = registrar(&["check", "--config", &key.to_string_lossy()]);
    assert!(stderr(&output).contains("UTF-8") && !stderr(&output).contains("init"));
    let empty = [
        vec!["device", "show", ""],
        vec!["device", "replace", "old", ""],
        vec!["certificate", "show", ""],
        vec!["approval", "grant", ""],
        vec!["credential", "revoke", ""],
        vec!["order", "show", ""],
        vec!["acme", "account", "show", ""],
    ];
    for (arguments, words) in [
        (vec!["event", "list", "--kind", "device-lost"], "lists all kinds"),
        (vec!["event", "list", "--verdict", "maybe"], "verdicts: done"),
    ]
    .into_iter()
    .chain(empty.into_iter().map(|arguments| (arguments, "it is empty")))
    {
        let output = made.run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?} {}", stderr(&output));
    }
}

#[test]
fn a_database_that_is_missing_or_another_thing_is_told_and_not_made() {
    let made = Made::new(&[]);
    let (file, away) = (made.file("registrar.db"), made.file("away.db"));
    fs::rename(&file, &away).unwrap();
    let output = made.run(&["device", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("restore a backup"), "{}", stderr(&output));
    assert!(!file.exists(), "a command makes no database");
    let output = made.run(&["check"]);
    assert!(stderr(&output).contains("'serve' makes an empty database"), "{}", stderr(&output));
    for content in ["no database", "no database at all, and a longer text"] {
        fs::write(&file, content).unwrap();
        assert!(made.problems().contains("it is not a database"));
        let output = made.run(&["device", "list"]);
        assert!(stderr(&output).contains("not a database"), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&file).unwrap(), content, "and it is left as it is");
    }
    fs::rename(&away, &file).unwrap();
    assert_eq!(stdout(&made.run(&["check"])), "ok\n");
}
