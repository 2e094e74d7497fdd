//! What of a device's past is accepted, as the operator wrote it: the audit log's rules (RFC 8995 §5.8.3). Pure.

use std::collections::BTreeMap;

use brski_voucher::audit::{AssertionRule, AuditPolicy, DomainId, NoncelessRule, TruncationRule};

/// The section `[policy.audit_log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRules {
    /// Other domains than this one that a device may have been in.
    pub accepted: Vec<DomainId>,
    /// Which vouchers without a nonce.
    pub nonceless: NoncelessRule,
    /// Which assertions.
    pub assertions: AssertionRule,
    /// Which omissions.
    pub truncation: TruncationRule,
    /// What was before this time (Unix seconds) does not matter; none: everything does.
    pub since: Option<i64>,
    /// The same for the devices of one manufacturer, by its name: they were bought then.
    pub bought: BTreeMap<String, i64>,
}

impl AuditRules {
    /// What an audit log of a device of this manufacturer is evaluated with.
    ///
    /// `manufacturer`: the operator's name for it. `own`: the domainIDs of this registrar's chain,
    /// see [`own_domains`](brski_voucher::audit::own_domains).
    #[must_use]
    pub fn policy(&self, manufacturer: &str, own: Vec<DomainId>) -> AuditPolicy {
        AuditPolicy {
            own,
            accepted: self.accepted.clone(),
            nonceless: self.nonceless,
            assertions: self.assertions.clone(),
            truncation: self.truncation,
            since: self.bought.get(manufacturer).copied().or(self.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manufacturers_date_comes_before_the_general_one() {
        let bought = BTreeMap::from([("pumps".to_owned(), 20)]);
        let rules = AuditRules { since: Some(10), bought, ..AuditRules::default() };
        assert_eq!(rules.policy("pumps", Vec::new()).since, Some(20));
        assert_eq!(rules.policy("valves", Vec::new()).since, Some(10));
        assert_eq!(AuditRules::default().policy("pumps", Vec::new()).since, None);
    }

    #[test]
    fn the_default_accepts_this_domain_alone_and_no_omission_but_duplicates() {
        let policy = AuditRules::default().policy("pumps", vec![DomainId::new(vec![1])]);
        assert_eq!(policy.accepted, []);
        assert_eq!(policy.nonceless, NoncelessRule::OwnDomain);
        assert_eq!(policy.truncation, TruncationRule::Duplicates);
        assert_eq!(policy.own, [DomainId::new(vec![1])]);
    }
}
