//! A CA that does what a test tells it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use acme_bridge::account::{AccountShown, Connect};
use acme_bridge::challenge::KeyAuthorization;
use acme_bridge::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, ChallengeProgress, Downloaded,
    Offer, OfferedChallenge, OrderRequest, OrderStatus, OrderView, RenewalWindow, RevocationReason,
};
use acme_bridge::{Challenge, ChallengeType, Problem};
use async_trait::async_trait;
use rustls_pki_types::CertificateDer;

pub(super) const NAME: &str = "dev-1.iot.example.org";
pub(super) const URL: &str = "https://ca.example/order/1";

/// A CA that does what a test tells it, and counts.
#[derive(Default)]
pub(super) struct Script {
    pub(super) calls: BTreeMap<&'static str, u32>,
    pub(super) status: Option<OrderStatus>,
    pub(super) authorization: Option<AuthorizationStatus>,
    pub(super) problem: Option<Problem>,
    pub(super) new_order: Option<Problem>,
    pub(super) finalize: Option<Problem>,
    pub(super) unreachable: u32,
    pub(super) chain: String,
    pub(super) alternates: Vec<String>,
    pub(super) revoked: Vec<Vec<u8>>,
    pub(super) replaces: Vec<Option<String>>,
    pub(super) resources: Vec<&'static str>,
}

pub(super) struct Ca(pub(super) Mutex<Script>);

impl Ca {
    fn call(&self, name: &'static str) -> Result<std::sync::MutexGuard<'_, Script>, AcmeError> {
        let mut script = self.0.lock().unwrap();
        *script.calls.entry(name).or_default() += 1;
        if script.unreachable > 0 {
            script.unreachable -= 1;
            return Err(AcmeError::Unreachable("out to lunch".into()));
        }
        Ok(script)
    }

    pub(super) fn count(&self, name: &str) -> u32 {
        self.0.lock().unwrap().calls.get(name).copied().unwrap_or(0)
    }

    fn view(script: &Script) -> OrderView {
        OrderView {
            url: URL.into(),
            status: script.status.unwrap_or(OrderStatus::Pending),
            problem: script.problem.clone(),
            retry_after_secs: None,
        }
    }
}

#[async_trait]
impl AcmeClient for Ca {
    async fn new_order(&self, order: &OrderRequest<'_>) -> Result<OrderView, AcmeError> {
        assert_eq!(order.names, [NAME]);
        let mut script = self.call("new_order")?;
        script.replaces.push(order.replaces.map(str::to_owned));
        if order.replaces == Some("gone") {
            return Err(AcmeError::Problem(problem("alreadyReplaced")));
        }
        if let Some(problem) = script.new_order.clone() {
            return Err(AcmeError::Problem(problem));
        }
        script.status = Some(OrderStatus::Pending);
        Ok(Self::view(&script))
    }

    async fn order(&self, url: &str) -> Result<OrderView, AcmeError> {
        assert_eq!(url, URL);
        Ok(Self::view(&*self.call("order")?))
    }

    async fn authorizations(&self, _url: &str) -> Result<Vec<AuthorizationView>, AcmeError> {
        let script = self.call("authorizations")?;
        let authorization = KeyAuthorization::new("token.thumbprint").unwrap();
        let challenge = Challenge::Dns01 { authorization };
        let offered = vec![OfferedChallenge { challenge, progress: ChallengeProgress::Open }];
        let open = AuthorizationStatus::Pending { offered };
        let status = script.authorization.clone().unwrap_or(open);
        Ok(vec![AuthorizationView { name: NAME.into(), status }])
    }

    async fn validate(&self, _url: &str, name: &str, kind: ChallengeType) -> Result<(), AcmeError> {
        assert_eq!((name, kind), (NAME, ChallengeType::Dns01));
        let mut script = self.call("validate")?;
        if script.problem.is_some() {
            script.status = Some(OrderStatus::Invalid);
            let problem = script.problem.clone().unwrap();
            script.authorization = Some(AuthorizationStatus::Failed { problem });
        } else {
            script.authorization = Some(AuthorizationStatus::Valid);
            script.status = Some(OrderStatus::Ready);
        }
        Ok(())
    }

    async fn finalize(&self, _url: &str, csr: &[u8]) -> Result<OrderView, AcmeError> {
        assert_eq!(csr, b"csr");
        let mut script = self.call("finalize")?;
        if script.status == Some(OrderStatus::Ready) {
            *script.calls.entry("csr sent").or_default() += 1;
            if let Some(problem) = script.finalize.clone() {
                return Err(AcmeError::Problem(problem));
            }
            script.status = Some(OrderStatus::Valid);
        }
        Ok(Self::view(&script))
    }

    async fn certificate(&self, _url: &str) -> Result<Downloaded, AcmeError> {
        let script = self.call("certificate")?;
        let alternates = (0..script.alternates.len()).map(|number| number.to_string()).collect();
        Ok(Downloaded { pem: script.chain.clone(), alternates })
    }

    async fn alternate(&self, url: &str) -> Result<String, AcmeError> {
        Ok(self.call("alternate")?.alternates[url.parse::<usize>().unwrap()].clone())
    }

    async fn revoke(
        &self,
        certificate: &CertificateDer<'_>,
        _reason: RevocationReason,
    ) -> Result<(), AcmeError> {
        self.call("revoke")?.revoked.push(certificate.to_vec());
        Ok(())
    }

    async fn renewal_info(&self, _identifier: &str) -> Result<RenewalWindow, AcmeError> {
        Err(AcmeError::Unsupported("renewalInfo"))
    }

    fn offer(&self) -> Offer {
        Offer { resources: self.0.lock().unwrap().resources.clone(), ..Offer::default() }
    }
}

pub(super) struct Direct(pub(super) Arc<Ca>);

#[async_trait]
impl Connect for Direct {
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError> {
        let client: Arc<Ca> = Arc::clone(&self.0);
        Ok(client)
    }

    async fn show(&self) -> Result<AccountShown, AcmeError> {
        Err(AcmeError::Unsupported("accounts"))
    }

    async fn rotate_key(&self) -> Result<AccountShown, AcmeError> {
        Err(AcmeError::Unsupported("keyChange"))
    }

    async fn deactivate(&self) -> Result<AccountShown, AcmeError> {
        Err(AcmeError::Unsupported("accounts"))
    }
}

pub(super) fn problem(kind: &str) -> Problem {
    Problem::from_ca(&format!("urn:ietf:params:acme:error:{kind}"), "because")
}
