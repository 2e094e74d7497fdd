//! The configuration file that `registrar init` writes; its comments are the manual of the keys.

use std::fmt::Write as _;

/// The section `[discovery]`.
const DISCOVERY: &str = r#"# Devices on the same network find the registrar by DNS-SD (_brski-registrar._tcp over mDNS), where this is written.
# [discovery]
# The network interfaces that it is announced on, and no other:
# interfaces = ["eth1"]
# The instance's name; store.node if left out:
# name = "registrar-1"
# Where devices are sent, if that is not the port of listen.est: a balancer's port on this machine.
# port = 443

"#;

/// The section `[admin]`.
const ADMIN: &str = r#"# Who may use listen.admin. Roles: "viewer" sees, "approver" lets devices in, "operator" does everything.
[admin]
# The operators' web page, at https://THE-ADDRESS-OF-listen.admin/console; 'registrar console link' logs you in.
# console = true
# The listener's certificate and key; the registrar's own if left out.
# certificate = "admin.pem"
# key = "admin.key"
# The CA of the administrators' certificates, which need the extended key usage clientAuth.
# client_ca = "admin-ca.pem"
# A certificate of that CA whose common name is "alice", or exactly the one with this SHA-256:
# [admin.client.alice]
# role = "operator"
# sha256 = "…"
# A program with a token in a file of mode 0600: umask 077; openssl rand -hex 32 > grafana.token
# [admin.token.grafana]
# role = "viewer"
# file = "grafana.token"
# Log-in to the console with OpenID Connect, in a program built with '--features openid'.
# [admin.openid]
# issuer = "https://sso.example.org"
# client_id = "registrar"
# client_secret_file = "openid.secret"  # mode 0600; leave it out for a public client
# ca = "sso-ca.pem"                     # anchors of its TLS certificate; the operating system's if left out
# Where browsers find the console: the provider sends them back to THIS/console/login/openid/return.
# console_url = "https://registrar.example.org:8444"
# scopes = ["profile", "groups"]        # asked for beside "openid"
# claim = "groups"                      # the claim that says who may do what, such as "realm_access.roles"
# Which of its values gives which role; whoever has none of them does not get in.
# [admin.openid.roles]
# registrar-operators = "operator"
# everyone = "viewer"

"#;

/// The section `[store]`.
const STORE: &str = r#"[store]
# Everything that the registrar knows: a SQLite file, or PostgreSQL 15 and later for several registrars.
path = "registrar.db"
# url_file = "postgres.url"  # mode 0600: postgres://USER:PASSWORD@HOST/DATABASE?sslmode=require
# ca = "postgres-ca.pem"     # anchors of its TLS certificate; the operating system's if left out
# node = "registrar-1"       # this registrar's name, which no other one on the database has
# Finished orders and events are removed when they are older. A signed checkpoint stays in the place of the events.
keep_events_days = 400
keep_orders_days = 30

"#;

/// The section `[identity]`.
const IDENTITY: &str = r#"[identity]
# The registrar's own certificate: extended key usage cmcRA, serverAuth and clientAuth.
certificate = "registrar.pem"
# A file of mode 0600, or a key in a PKCS#11 token, so also domain_ca_key and the key of a local issuer:
# key = "pkcs11:token=NAME;object=registrar?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin"
key = "registrar.key"
# The private CA that it comes from, and that vouchers pin. It never issues to a device.
domain_ca = "domain-ca.pem"
# Its key, where it is at hand: the daemon renews the registrar's certificate with it, and 'registrar ca rotate' needs
# it. Leave it out where the key is elsewhere: 'registrar identity request' and 'install' renew by hand.
domain_ca_key = "domain-ca.key"
# What MASAs are offered to pin: "root", "issuing-ca" or "ee".
pin = "root"
# So many days before its end the certificate is renewed, with the same key; at most a third of its life.
renew_before_days = 90
# For so many days at least an earlier root is served after 'registrar ca rotate'.
old_root_days = 30

"#;

/// The issuer that is always there.
const LOCAL_ISSUER: &str = r#"# Where certificates come from. The device CA inside the registrar, for labs and air gaps:
[issuer.local]
kind = "local"
certificate = "device-ca.pem"
key = "device-ca.key"
validity_days = 365
# Where its revocation list is for those who check its certificates; they name it.
# crl_url = "http://registrar.example.org/crl/local.crl"
"#;

/// The section `[policy]`.
const POLICY: &str = r#"[policy]
# Vouchers without a nonce, from the MASA or fetched ahead ('registrar voucher prefetch'): "accept" or "refuse".
nonceless = "accept"
# A genuine device of a manufacturer that was added, which no operator imported and no rule below speaks of:
# "admit", "ask" a person, or "refuse"; "ask" if left out. Devices of no such manufacturer never get in.
unexpected = "admit"
# Rules, asked in this order: the first one whose every condition fits decides. Each condition may be left out.
# [[policy.rule]]
# decision = "admit"                  # "admit", "ask" or "refuse"
# note = "delivery of May"            # what the trail calls the rule
# devices = "unexpected"              # or those that an operator imported or allowed ("expected"), or "all": also those
#                                     # that were let in before, which get no voucher any more if it refuses them
# manufacturer = "pumps"              # as it is called here
# serial = ["SN-1001", "SN-1002"]     # these serial numbers; or all that match, as wholes:
# serial_pattern = "SN-1[0-9]{3}"     # a regular expression
# made_from = 2026-01-01              # whose IDevID begins to be valid on this day or later,
# made_until = 2026-12-31             # and on this day or earlier
# not_before = 2026-05-01             # the rule holds from this day on,
# not_after = 2026-05-31              # and to the end of this one; days are UTC
# profile = "default"                 # what it gets, where no operator said something else of it:
# name = "{manufacturer}-{serial}"    # a profile, a name template, and a place
# site = "hall 3"

# Devices that wait for a person.
[policy.approval]
# So many of one manufacturer wait; more are told to come back (503). One that has not asked for so long may be forgotten.
waiting_per_manufacturer = 100
silent_secs = 600

# How much a device may ask for, and all of one manufacturer together; more is told to come back (429, 503).
[policy.quota]
device_vouchers = { most = 60, secs = 3600 }
# device_enrollments = { most = 20, secs = 86400 }
# manufacturer_vouchers = { most = 5000, secs = 3600 }
# manufacturer_enrollments = { most = 5000, secs = 3600 }

# What the MASA's audit log may say of a device's past (RFC 8995, section 5.8.3); this domain's own events always may.
[policy.audit_log]
# When it is asked for: "before-voucher", "after-status" (of the voucher, RFC 8995's order), or "off".
# Until a log that is against policy is mended and a new voucher succeeds, the device cannot enroll.
when = "after-status"
# A log that the MASA does not have, or that cannot be read: "accept" or "refuse".
missing = "accept"
# Other domains that devices may have been in, by their domainID as audit logs show it: base64.
# domains = ["BduJhdHPpfhQLyponf48JzXSGZ8="]
# Vouchers without a nonce: "refuse", "own-domain" or "accepted-domains".
nonceless = "own-domain"
# What vouchers may assert: "verified", "logged", "proximity", "agent-proximity"; anything if left out.
# assertions = ["verified", "proximity"]
# What the log may leave out: "refuse" (nothing), "duplicates", or "accept" (anything).
truncation = "duplicates"
# Events before this date do not matter; and where a manufacturer's devices were bought later, before that one.
# since = 2026-01-01
# bought = { pumps = 2026-05-01 }

"#;

/// The section `[danger]`.
const DANGER: &str = r#"# What makes a registrar weaker than it should be; said at each start.
[danger]
# Certificates of a lab, which say LAB ONLY: their keys are guarded by nobody. A registrar that finds one does not start.
allow_lab_anchors = false
# Whoever comes with any certificate that no manufacturer vouches for counts as a device of this one, which must be added;
# the serial number is what the certificate says. Only where nobody but expected devices can reach the registrar.
# accept_any_device_as = "pumps"

"#;

/// The section `[limits]`.
const LIMITS: &str = r#"[limits]
# Connections of pledges at once, those of one IPv4 address (or one IPv6 network of 64 bits), and those that shake hands;
# half of all if left out. Above these, whoever has most connections and proved nothing makes room; known devices stay.
connections = 1000
# connections_per_address = 500
# handshakes = 500
# How long one call to a MASA may take, in seconds.
masa_timeout_secs = 10
# DNS answers a second over UDP to one network (IPv4 /24, IPv6 /56); above that, it is told to ask over TCP.
dns_answers_per_second = 1000
# How long a TLS handshake, a request's header and a request's body may take, in seconds; an idle connection is closed
# after the header's time.
handshake_timeout_secs = 10
header_timeout_secs = 30
body_timeout_secs = 30
# The longest body of a request, in octets; at most 65536.
body_octets = 65536
# How long open requests may take to end when the daemon ends, in seconds. Devices that wait for their CA are told at
# once to come back; their orders go on after the next start.
shutdown_secs = 20

"#;

/// The section `[log]`.
const LOG: &str = r#"[log]
# "error", "warn", "info", "debug", or a filter by module.
level = "info"
# "text", or "json": one object a line.
format = "text"
# A collector that spans go to, OTLP over HTTP, in a program built with '--features otlp'.
# otlp_endpoint = "http://127.0.0.1:4318"

"#;

/// The section `[metrics]`.
const METRICS: &str = r#"[metrics]
# How often queues are counted, and certificates by the days that they have left, in seconds.
queues_secs = 15
certificates_secs = 300

"#;

/// The section `[notify]`.
const NOTIFY: &str = r#"[notify]
# Events that somebody is told of: kinds such as "voucher-rejected" (docs/OPERATING.md has all of them), or verdicts:
# "refused", "failed", "waiting", "done".
# events = ["failed", "voucher-rejected", "approval-asked"]
# A program that gets each of them as one line of JSON on stdin, and is run again until it exits with 0.
# program = ["/usr/local/bin/tell-operator", "--urgent"]
# An address that each of them is posted to as JSON, again and again until it answers 2xx.
# url = "https://alerts.example.org/registrar"
# ca = "alerts-ca.pem"        # anchors of its TLS certificate; the operating system's if left out
# token_file = "alerts.token" # mode 0600: sent as 'Authorization: Bearer'
# How long one attempt may take, in seconds.
timeout_secs = 10
"#;

/// What `init` was told.
#[derive(Clone, Debug)]
pub struct Choices {
    /// Where to listen for pledges.
    pub listen: String,
    /// Where to listen for DNS.
    pub dns: Option<String>,
    /// The zone that devices are named in.
    pub domain: String,
    /// Where the keys are.
    pub keys: Keys,
    /// The ACME CA, if there is one.
    pub acme: Option<AcmeChoices>,
}

/// Where the keys are: each a file beside the configuration, or a URI of a key in a token.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The registrar's.
    pub registrar: String,
    /// The domain CA's.
    pub domain_ca: String,
    /// The device CA's.
    pub device_ca: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            registrar: "registrar.key".to_owned(),
            domain_ca: "domain-ca.key".to_owned(),
            device_ca: "device-ca.key".to_owned(),
        }
    }
}

/// What `init` was told of an ACME CA.
#[derive(Clone, Debug)]
pub struct AcmeChoices {
    /// Its directory.
    pub directory: String,
    /// The file of the directory's anchors, beside the configuration.
    pub directory_ca: Option<String>,
    /// The file of its roots, beside the configuration.
    pub root: Option<String>,
}

/// The file's text.
#[must_use]
pub fn file(choices: &Choices) -> String {
    let mut text = listen(choices);
    text.push_str(DISCOVERY);
    text.push_str(ADMIN);
    text.push_str(STORE);
    let Keys { registrar, domain_ca, device_ca } = &choices.keys;
    // What `{:?}` writes of such a text is a string of TOML, too.
    let identity =
        IDENTITY.replace("\nkey = \"registrar.key\"", &format!("\nkey = {registrar:?}")).replace(
            "\ndomain_ca_key = \"domain-ca.key\"",
            &format!("\ndomain_ca_key = {domain_ca:?}"),
        );
    text.push_str(&identity);
    let issuer =
        LOCAL_ISSUER.replace("\nkey = \"device-ca.key\"", &format!("\nkey = {device_ca:?}"));
    text.push_str(&issuer);
    if let Some(acme) = &choices.acme {
        write_acme(&mut text, acme);
    }
    write_zone(&mut text, &choices.domain);
    text.push_str(&profile(choices));
    for section in [POLICY, LIMITS, DANGER, LOG, METRICS, NOTIFY] {
        text.push_str(section);
    }
    text
}

/// The head of the file and the section `[listen]`.
fn listen(choices: &Choices) -> String {
    let dns = match &choices.dns {
        Some(address) => format!("dns = \"{address}\""),
        None => "# dns = \"0.0.0.0:53\"".to_owned(),
    };
    format!(
        r#"# The registrar's configuration. Relative paths are relative to this file.
# 'registrar check --config FILE' says what is wrong with it.

[listen]
# Where pledges and EST clients come: BRSKI and EST over TLS.
est = "{listen}"
# Where the CA asks for dns-01 answers, UDP and TCP. Delegate the zone below to this address.
# Where the machine has several, name the one that is delegated to, rather than 0.0.0.0.
{dns}
# The admin API for people and programs elsewhere, over TLS; on this machine there is DIR/admin.sock.
# admin = "0.0.0.0:8444"
# Where /healthz, /readyz and /metrics are, in plain HTTP and for everybody who reaches it. The admin listeners have them too.
# metrics = "127.0.0.1:9464"
# Where the CA fetches http-01 answers: port 80 of every name of such a zone must lead here.
# http01 = "0.0.0.0:80"

"#,
        listen = choices.listen,
    )
}

/// The profile of devices that name none.
fn profile(choices: &Choices) -> String {
    let (issuer, name) = match &choices.acme {
        None => ("local", "{serial}"),
        // Public CAs log every name for everybody to read.
        Some(acme) if acme.root.is_none() => ("acme", "{opaque}"),
        Some(_) => ("acme", "{serial}"),
    };
    format!(
        r#"
# What a device gets. An EST label selects a profile; "default" is for those that name none.
[profile.default]
issuer = "{issuer}"
zone = "{domain}"
# {{serial}}, {{manufacturer}} or {{opaque}} (16 digits that show nothing), and letters, digits and '-'.
name = "{name}"
key_types = ["ec-p256", "ec-p384"]
# How long a request is held, in seconds, before it is answered with "come back" (202).
hold_secs = 10
# For how many days after its end a certificate can still be renewed with.
renew_expired_days = 0
# Which key a renewed certificate may have: "any", "same" or "new".
renew_key = "any"
# Whether a CSR must carry a challengePassword that links it to its TLS 1.3 session.
require_linking = false
# An ACME issuer that takes over while the first is down or out of quota; never in silence.
# fallback = "other"
# What a CSR may ask to be used for, and what a certificate must be usable for:
# "server-auth", "client-auth" and others, or object identifiers.
allow_eku = ["server-auth", "client-auth"]
# require_eku = ["client-auth"]
# How long certificates of a local issuer last, in days; the issuer's own lifetime if left out.
# validity_days = 90
# Whether the registrar makes keys for devices that cannot (/serverkeygen). Such a key was in two places.
server_keygen = false

"#,
        domain = choices.domain,
    )
}

fn write_acme(text: &mut String, acme: &AcmeChoices) {
    let file = |key: &str, value: &Option<String>| match value {
        Some(path) => format!("{key} = \"{path}\""),
        None => format!("# {key} = \"FILE.pem\""),
    };
    let _ = write!(
        text,
        r#"
# An ACME CA, public or private.
[issuer.acme]
kind = "acme"
directory = "{directory}"
# Anchors of the directory's TLS certificate; the operating system's if left out.
{directory_ca}
# Roots that issued chains must end at, served by /cacerts; the operating system's if left out.
{root}
# The account's key; made if it is not there.
account_key = "acme-account.key"
# You agree to the CA's terms of service.
accept_terms = true
# How the CA reaches you: URLs, each of one mail address. It is told of them when they change, at the next start.
# contact = ["mailto:pki@example.org"]
# An account that the CA knows by other means: a file of two lines, key identifier and key, mode 0600.
# eab_file = "acme-eab"
# One of the CA's profiles.
# profile = "tlsserver"
# How many orders are driven at once.
orders_in_flight = 8
# How long another registrar on the same database leaves an order alone whose registrar fell silent, in seconds.
lease_secs = 120
# How long the CA may be down or refuse for its limits before a profile's fallback takes over, in seconds.
fallback_after_secs = 300
# The domains that the CA counts names under, where they are not the last two labels.
# registered_domains = ["example.co.uk"]
# So many orders in so many seconds, for the account, each registered domain, each exact set of names.
# Let's Encrypt's are known; no other CA's are.
# limits = {{ account = {{ orders = 300, secs = 10800 }}, registered_domain = {{ orders = 50, secs = 604800 }}, names = {{ orders = 5, secs = 604800 }} }}
"#,
        directory = acme.directory,
        directory_ca = file("directory_ca", &acme.directory_ca),
        root = file("root", &acme.root),
    );
}

/// How a zone's names are proven: the keys of every solver, those of the others as comments.
const SOLVERS: &str = r#"# "dns-01", "http-01", "tls-alpn-01", "dns-account-01" or "dns-persist-01"; or a list, of which the first that the CA
# offers is answered. For tls-alpn-01, port 443 of every name must lead to listen.est.
challenge = "dns-01"
# "built-in": the registrar answers itself, at listen.dns, listen.http01 and listen.est.
solver = "built-in"
# Fixed records of a zone that is delegated to listen.dns: A, AAAA, CAA, CNAME, MX, NS (of the zone), SRV, TXT.
# Resolvers want addresses of the zone's name servers.
# records = ["@ 300 IN NS ns1", "ns1 300 IN A 192.0.2.53"]
# With dns-01: where the record is written instead, if _acme-challenge.NAME is a CNAME to it for every name.
# challenge_alias = "acme.example.net"
#
# "rfc2136": a DNS server takes updates, signed by a TSIG key; 'registrar check' tries one.
# solver = "rfc2136"
# server = "192.0.2.53:53"   # the zone's primary
# tsig_key = "tsig.key"      # mode 0600, as tsig-keygen writes it, or hmac-sha256:NAME:SECRET
# update_zone = "example.net"  # the zone with the SOA, where it is not this one (or challenge_alias)
# name_servers = ["192.0.2.53:53", "192.0.2.54:53"]  # who must show a record; left out: the zone's name servers
# propagation_secs = 60      # how long they may take
#
# "exec": a program is run as PROGRAM ARGUMENTS present|cleanup OWNER VALUE, without a shell; see docs/CHALLENGES.md.
# solver = "exec"
# program = "/usr/local/bin/dns-hook"
# arguments = []
# timeout_secs = 60
#
# "acme-dns": _acme-challenge.NAME is a CNAME to the registration's fulldomain; two names at once are proven at most.
# solver = "acme-dns"
# url = "https://auth.example.net"
# credentials = "acme-dns.json"  # mode 0600: the answer to POST /register
# ca = "acme-dns-ca.pem"     # anchors of its TLS certificate; the operating system's if left out
#
# "manual", with dns-persist-01: the records are there for good.
"#;

fn write_zone(text: &mut String, domain: &str) {
    let _ = write!(
        text,
        r#"
# The DNS zone that devices are named in, and how the CA sees that their names are ours.
[zone."{domain}"]
{SOLVERS}"#,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configuration of docs/registrar.toml.
    fn documented() -> String {
        file(&Choices {
            listen: "0.0.0.0:8443".into(),
            dns: Some("0.0.0.0:53".into()),
            domain: "iot.example.org".into(),
            keys: Keys::default(),
            acme: Some(AcmeChoices {
                directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
                directory_ca: None,
                root: None,
            }),
        })
    }

    #[test]
    fn the_documents_have_the_file_that_init_writes() {
        let kept = include_str!("../../../docs/registrar.toml");
        let written = documented();
        let (kept, written): (Vec<&str>, Vec<&str>) =
            (kept.lines().collect(), written.lines().collect());
        let differs = kept.iter().zip(&written).find(|(kept, written)| kept != written);
        assert!(
            differs.is_none() && kept.len() == written.len(),
            "{differs:?}: put into docs/registrar.toml what 'registrar init --dir DIR --domain iot.example.org \
             --issuer acme --acme-directory https://acme-v02.api.letsencrypt.org/directory --accept-terms' writes"
        );
    }

    /// Every key that is read stands in the file, with what it is for; the names of the fields are the keys.
    #[test]
    fn the_file_has_every_key_that_is_read() {
        let text = documented();
        let words: std::collections::BTreeSet<&str> = text
            .split(|each: char| !(each.is_ascii_alphanumeric() || each == '_'))
            .filter(|word| !word.is_empty())
            .collect();
        let read = concat!(include_str!("raw.rs"), include_str!("raw/policy.rs"));
        let mut keys = 0;
        for line in read.lines() {
            let line = line.trim_start();
            let field = line.split_once(") ").map_or(line, |(before, field)| {
                if before.starts_with("pub(") { field } else { line }
            });
            let Some((key, rest)) = field.split_once(": ") else { continue };
            let is_key =
                key.bytes().all(|each| each.is_ascii_lowercase() || b"_0123456789".contains(&each));
            // A type begins with a letter in upper case or a primitive's; a value of a default does not end a field.
            let is_type = rest.ends_with(',') && !rest.contains(['(', ')', '"', '&']);
            if is_key && is_type && !rest.starts_with(|first: char| first.is_ascii_digit()) {
                keys += 1;
                assert!(words.contains(key), "{key} stands nowhere in the file");
            }
        }
        assert!(keys > 100, "{keys} keys were looked for");
    }
}
