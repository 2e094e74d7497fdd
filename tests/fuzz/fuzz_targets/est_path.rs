#![no_main]

#[path = "../src/decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| decoders::est_path(octets));
