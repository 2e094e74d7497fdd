//! The inputs that fuzzing found are replayed: none panics, and what is read keeps its promises.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

#[path = "../fuzz/src/decoders.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets share it")]
mod decoders;

use brski_tests::programs;

/// Replays a target's corpus; gives its size.
fn replay(target: &str, decode: impl Fn(&[u8])) {
    let folder = programs::workspace().join("tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{}", folder.display()));
    let mut inputs = 0;
    for entry in entries {
        decode(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "{target} has a corpus");
}

#[test]
fn artefacts() {
    replay("cms", decoders::cms);
    replay("jws", decoders::jws);
    replay("cose", decoders::cose);
}

#[test]
fn certificates_logs_and_reports() {
    replay("certificate", decoders::certificate);
    replay("audit_log", decoders::audit_log);
    replay("telemetry", decoders::telemetry);
}

#[test]
fn est_messages() {
    replay("csr", decoders::csr);
    replay("certs_only", decoders::certs_only);
    replay("csr_attributes", decoders::csr_attributes);
    replay("transfer", decoders::transfer);
    replay("est_path", decoders::est_path);
    replay("server_keygen", decoders::server_keygen);
    replay("renewal_info", decoders::renewal_info);
    replay("est_answer", decoders::est_answer);
}
