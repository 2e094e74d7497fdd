//! What a delegated zone holds beside challenge answers: its apex, and the records of the configuration.
//!
//! RFC 1034 §4.3.2; wildcards as RFC 4592 has them, for addresses alone.

use std::collections::HashMap;

use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::Parser;
use thiserror::Error;

/// How long the apex's records may be kept, in seconds.
const APEX_TTL: u32 = 60;
/// How long a denial may be kept, in seconds: what is denied now may be asked for by a CA in a moment.
const DENIAL_TTL: u32 = 1;
/// How many records a zone may be given.
const RECORDS: usize = 1000;
/// The longest text of one record, in octets.
const RECORD_OCTETS: usize = 1024;

/// Why a zone cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// Its name is no DNS name.
    #[error("the zone {zone:?} is not a DNS name")]
    Name {
        /// The zone.
        zone: String,
    },
    /// It has too many records.
    #[error("a zone may have {RECORDS} records, and this one has {count}")]
    TooMany {
        /// How many it has.
        count: usize,
    },
    /// A record is not what a zone file may hold.
    #[error("{record:?} cannot be read as NAME TTL IN TYPE DATA: {reason}")]
    Record {
        /// The record as it was written.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record is one that this responder does not serve.
    #[error("{record:?}: {reason}")]
    Unserved {
        /// The record as it was written.
        record: String,
        /// Why.
        reason: &'static str,
    },
}

/// A zone with its fixed records.
#[derive(Clone, Debug)]
pub struct Zone {
    apex: Name,
    denial: Record,
    nodes: HashMap<Name, Vec<Record>>,
}

impl Zone {
    /// A zone. `records`: lines of a zone file, such as `ns1 300 IN A 192.0.2.1`; names are relative to the zone.
    ///
    /// Where no record of type NS is given, the zone's server is called `ns.ZONE`.
    ///
    /// # Errors
    /// [`ZoneError`].
    pub fn new(zone: &str, records: &[String]) -> Result<Self, ZoneError> {
        let named = |text: String| {
            Name::from_ascii(text).map_err(|_| ZoneError::Name { zone: zone.to_owned() })
        };
        if records.len() > RECORDS {
            return Err(ZoneError::TooMany { count: records.len() });
        }
        let apex = named(format!("{}.", zone.trim_end_matches('.').to_ascii_lowercase()))?;
        let person = named(format!("hostmaster.{apex}"))?;
        let mut nodes: HashMap<Name, Vec<Record>> = HashMap::new();
        for text in records {
            let record = read(text, &apex)?;
            let node = nodes.entry(record.name.to_lowercase()).or_default();
            if is_beside_alias(node, &record) {
                let reason = "a CNAME may not stand beside other records of its name";
                return Err(ZoneError::Unserved { record: text.clone(), reason });
            }
            node.push(record);
        }
        let at_apex = nodes.entry(apex.clone()).or_default();
        let first = at_apex.iter().find_map(|record| match &record.data {
            RData::NS(NS(server)) => Some(server.clone()),
            _ => None,
        });
        let server = match first {
            Some(server) => server,
            None => {
                let server = named(format!("ns.{apex}"))?;
                let data = RData::NS(NS(server.clone()));
                at_apex.push(Record::from_rdata(apex.clone(), APEX_TTL, data));
                server
            }
        };
        let soa = SOA::new(server, person, 1, 3600, 600, 86_400, DENIAL_TTL);
        at_apex.push(Record::from_rdata(apex.clone(), APEX_TTL, RData::SOA(soa.clone())));
        let denial = Record::from_rdata(apex.clone(), DENIAL_TTL, RData::SOA(soa));
        Ok(Self { apex, denial, nodes })
    }

    /// Its name.
    pub(super) fn apex(&self) -> &Name {
        &self.apex
    }

    /// The SOA as it stands beside a denial (RFC 2308 §3).
    pub(super) fn denial(&self) -> &Record {
        &self.denial
    }

    /// The fixed records of a name, with those of a wildcard that covers it.
    pub(super) fn node(&self, name: &Name) -> Option<&[Record]> {
        let name = name.to_lowercase();
        if let Some(node) = self.nodes.get(&name) {
            return Some(node);
        }
        self.wildcard(&name)
    }

    /// Whether a fixed record stands anywhere below a name.
    pub(super) fn is_above_record(&self, name: &Name) -> bool {
        self.nodes.keys().any(|owner| name.zone_of(owner) && name != owner)
    }

    /// RFC 4592 §3.3.1: the wildcard below the closest encloser, and no other.
    ///
    /// Challenge answers do not count as enclosers: a device keeps its address while its name is being proven.
    fn wildcard(&self, name: &Name) -> Option<&[Record]> {
        if self.is_above_record(name) {
            return None;
        }
        let mut encloser = name.base_name();
        while self.apex.zone_of(&encloser) {
            let wildcard = encloser.prepend_label("*").ok()?;
            if let Some(node) = self.nodes.get(&wildcard) {
                return Some(node);
            }
            if self.nodes.contains_key(&encloser) || self.is_above_record(&encloser) {
                return None;
            }
            encloser = encloser.base_name();
        }
        None
    }
}

fn read(text: &str, apex: &Name) -> Result<Record, ZoneError> {
    let unreadable =
        |reason: &str| ZoneError::Record { record: text.to_owned(), reason: reason.to_owned() };
    if text.len() > RECORD_OCTETS {
        return Err(unreadable("it is too long"));
    }
    // One line, one record: neither a directive, which may read files, nor several records in parentheses.
    if text.contains(['\n', '\r', '$']) {
        return Err(unreadable("line breaks and '$' are not allowed"));
    }
    if text.starts_with([' ', '\t']) {
        return Err(unreadable("it begins with a blank"));
    }
    let (_, sets) = Parser::new(format!("{text}\n"), None, Some(apex.clone()))
        .parse()
        .map_err(|error| unreadable(&error.to_string()))?;
    let mut records = sets
        .into_values()
        .flat_map(|set| set.records_without_rrsigs().cloned().collect::<Vec<_>>());
    let record = records.next().ok_or_else(|| unreadable("it holds no record"))?;
    match refusal(&record, apex) {
        None => Ok(record),
        Some(reason) => Err(ZoneError::Unserved { record: text.to_owned(), reason }),
    }
}

fn refusal(record: &Record, apex: &Name) -> Option<&'static str> {
    let kind = record.record_type();
    let is_wildcard = record.name.is_wildcard();
    let is_address = matches!(kind, RecordType::A | RecordType::AAAA);
    let has_challenge_label = record.name.iter().any(|label| {
        [b"_acme-challenge".as_slice(), b"_validation-persist"]
            .iter()
            .any(|reserved| label.eq_ignore_ascii_case(reserved))
    });
    if record.dns_class != DNSClass::IN {
        return Some("its class is not IN");
    }
    if !apex.zone_of(&record.name) {
        return Some("its name is outside the zone");
    }
    if has_challenge_label {
        return Some("the registrar alone answers at names of challenges");
    }
    match kind {
        _ if is_wildcard && !is_address => Some("a wildcard may have addresses (A, AAAA) alone"),
        RecordType::NS if record.name != *apex => Some("the zone delegates nothing further"),
        RecordType::CNAME if record.name == *apex => Some("the apex cannot be a CNAME"),
        RecordType::A
        | RecordType::AAAA
        | RecordType::CAA
        | RecordType::CNAME
        | RecordType::MX
        | RecordType::NS
        | RecordType::SRV
        | RecordType::TXT => None,
        _ => Some("its type is none of A, AAAA, CAA, CNAME, MX, NS, SRV and TXT"),
    }
}

/// RFC 1034 §3.6.2.
fn is_beside_alias(node: &[Record], record: &Record) -> bool {
    let is_alias = |record: &Record| record.record_type() == RecordType::CNAME;
    !node.is_empty() && (is_alias(record) || node.iter().any(is_alias))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const APEX: &str = "iot.example.org";

    fn zone(records: &[&str]) -> Result<Zone, ZoneError> {
        let records: Vec<String> = records.iter().map(|text| (*text).to_owned()).collect();
        Zone::new(APEX, &records)
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn refuses_records_that_it_cannot_serve() {
        for (text, reason) in [
            ("", "no record"),
            ("ns1", "no record"),
            ("ns1 300 IN A 192.0.2.300", "cannot be read"),
            ("ns1 300 IN A", "cannot be read"),
            ("ns1 300 IN WHAT 1", "cannot be read"),
            (" 300 IN A 192.0.2.1", "blank"),
            ("$INCLUDE /etc/passwd", "'$'"),
            ("a 1 IN A 192.0.2.1\nb 1 IN A 192.0.2.1", "line breaks"),
            ("ns1.example.com. 300 IN A 192.0.2.1", "outside the zone"),
            ("ns1 300 CH A 192.0.2.1", "class"),
            ("_acme-challenge.dev-1 300 IN TXT \"x\"", "names of challenges"),
            ("_ACME-CHALLENGE 300 IN CNAME a.example.com.", "names of challenges"),
            ("_validation-persist 300 IN TXT x", "names of challenges"),
            ("* 300 IN TXT \"x\"", "wildcard"),
            ("* 300 IN CNAME a.example.com.", "wildcard"),
            ("sub 300 IN NS ns.example.com.", "delegates"),
            ("@ 300 IN CNAME a.example.com.", "apex"),
            ("@ 300 IN SOA a. b. 1 2 3 4 5", "type"),
        ] {
            let error = zone(&[text]).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        let long = format!("a 1 IN TXT {}", "x".repeat(2000));
        assert!(matches!(zone(&[&long]), Err(ZoneError::Record { .. })));
        let beside = zone(&["a 1 IN A 192.0.2.1", "A 1 IN CNAME b.example.com."]);
        assert!(matches!(beside, Err(ZoneError::Unserved { .. })));
        let many = vec!["a 1 IN A 192.0.2.1"; 1001];
        assert_eq!(zone(&many).unwrap_err(), ZoneError::TooMany { count: 1001 });
        assert!(matches!(Zone::new("a..b", &[]), Err(ZoneError::Name { .. })));
    }

    #[test]
    fn a_configured_name_server_takes_the_place_of_the_default() {
        let zone = zone(&["@ 300 IN NS ns1", "@ 300 IN NS ns2.example.com."]).unwrap();
        let apex = zone.node(&name("IOT.example.org.")).unwrap();
        let servers = apex.iter().filter(|record| record.record_type() == RecordType::NS).count();
        assert_eq!(servers, 2);
        let RData::SOA(soa) = &zone.denial().data else { unreachable!() };
        assert_eq!((soa.mname.to_ascii(), soa.minimum), ("ns1.iot.example.org.".into(), 1));
    }

    #[test]
    fn a_wildcard_covers_what_is_not_there_and_nothing_else() {
        let zone = zone(&[
            "* 60 IN A 192.0.2.1",
            "fixed 60 IN CAA 0 issue \"ca.example\"",
            "a.deep 60 IN A 192.0.2.2",
        ])
        .unwrap();
        let has_address = |text: &str| {
            zone.node(&name(text))
                .is_some_and(|node| node.iter().any(|record| record.record_type() == RecordType::A))
        };
        assert!(has_address("dev-1.iot.example.org."));
        assert!(has_address("x.dev-1.iot.example.org."));
        assert!(!has_address("fixed.iot.example.org."), "it is there");
        assert!(!has_address("deep.iot.example.org."), "something is below it");
        assert!(!has_address("b.deep.iot.example.org."), "its encloser is deep");
        assert!(!has_address("iot.example.org."));
    }
}
