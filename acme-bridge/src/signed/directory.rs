//! What a CA offers (RFC 8555 §7.1.1).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client::AcmeError;
use crate::http_client::AcmeHttp;

/// A directory, every URL of which is on its own origin.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    #[serde(default)]
    pub(crate) new_authz: Option<String>,
    #[serde(default)]
    pub(crate) revoke_cert: Option<String>,
    #[serde(default)]
    pub(crate) key_change: Option<String>,
    #[serde(default)]
    pub(crate) renewal_info: Option<String>,
    #[serde(default)]
    pub(crate) meta: Meta,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) terms_of_service: Option<String>,
    pub(crate) external_account_required: bool,
    pub(crate) caa_identities: Vec<String>,
    /// By name (draft-ietf-acme-profiles).
    pub(crate) profiles: BTreeMap<String, String>,
    /// RFC 9444 §4.
    pub(crate) subdomain_auth_allowed: bool,
}

impl Directory {
    /// Reads the directory.
    ///
    /// # Errors
    /// [`AcmeError::NotAcme`] if what is there is none, [`AcmeError::ForeignOrigin`] if it leads elsewhere.
    pub(crate) async fn fetch(http: &AcmeHttp, url: &str) -> Result<Self, AcmeError> {
        let answer = match http.get(url).await {
            Err(AcmeError::Problem(problem))
                if problem.acme_type.is_empty() && problem.status < 500 =>
            {
                let reason = problem.detail;
                return Err(AcmeError::NotAcme { url: url.to_owned(), reason });
            }
            other => other?,
        };
        let directory: Self = serde_json::from_slice(&answer.body).map_err(|error| {
            AcmeError::NotAcme { url: url.to_owned(), reason: error.to_string() }
        })?;
        for url in directory.urls() {
            http.check_origin(url)?;
        }
        Ok(directory)
    }

    fn urls(&self) -> impl Iterator<Item = &str> {
        [&self.new_nonce, &self.new_account, &self.new_order].into_iter().map(String::as_str).chain(
            [&self.new_authz, &self.revoke_cert, &self.key_change, &self.renewal_info]
                .into_iter()
                .filter_map(|url| url.as_deref()),
        )
    }
}

/// What a CA offers beyond orders, for those who decide by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Where its terms of service are.
    pub terms_of_service: Option<String>,
    /// Whether accounts are bound to ones that it knows already (RFC 8555 §7.3.4).
    pub needs_external_account: bool,
    /// Its names in CAA records.
    pub caa_identities: Vec<String>,
    /// Its profiles, with what each is for.
    pub profiles: BTreeMap<String, String>,
    /// What it has of the optional resources, as their names in the directory.
    pub resources: Vec<&'static str>,
}

impl From<&Directory> for Offer {
    fn from(directory: &Directory) -> Self {
        let Meta { terms_of_service, external_account_required, caa_identities, profiles, .. } =
            directory.meta.clone();
        let resources = [
            ("newAuthz", directory.new_authz.is_some()),
            ("revokeCert", directory.revoke_cert.is_some()),
            ("keyChange", directory.key_change.is_some()),
            ("renewalInfo", directory.renewal_info.is_some()),
            ("subdomainAuthAllowed", directory.meta.subdomain_auth_allowed),
        ];
        Self {
            terms_of_service,
            needs_external_account: external_account_required,
            caa_identities,
            profiles,
            resources: resources.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect(),
        }
    }
}
