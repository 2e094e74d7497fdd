//! Vouchers: those fetched ahead, and what became of a device's last exchange.

use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::SerialNumber;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Service, limit, no_daemon};
use crate::admin::actor::Actor;
use crate::admin::api::voucher::{ExchangeView, NoncelessView, Prefetch, VoucherStory};
use crate::admin::api::{Page, PageQuery};
use crate::admin::cursor;
use crate::admin::problem::{Kind, Problem};
use crate::config::Pin;
use crate::flow::nonceless::{self, Subject};
use crate::policy::audit::NoncelessVouchers;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::store::Change;
use crate::store::model::{DeviceState, Id, KnownDevice, NoncelessVoucher};

/// The clause of vouchers without a nonce.
const CLAUSE: &str = "RFC 8995 §5.5.4";

impl Service {
    /// Fetches a voucher without a nonce for a device, now and again before it ends.
    ///
    /// # Errors
    /// If the device is unknown or barred, if the configuration does not allow it, if no daemon runs.
    pub async fn prefetch(
        &self,
        actor: &Actor,
        device: &str,
        wanted: &Prefetch,
    ) -> Result<NoncelessView, Problem> {
        self.require_prefetch()?;
        let encoding = encoding(wanted.encoding.as_deref())?;
        let known = self.find(device).await?;
        if matches!(known.device.state, DeviceState::Retired | DeviceState::Blocked) {
            let error = format!("the device is {}", known.device.state.as_str());
            return Err(Problem::new(Kind::Conflict, error, "restore it first"));
        }
        let registrar_request = self.nonceless_request(&known, encoding, wanted).await?;
        let operator = actor.operator(self.now());
        let now = operator.now;
        let row = NoncelessVoucher {
            device: known.device.id.clone(),
            encoding,
            registrar_request,
            voucher: None,
            expires_at: None,
            attempts: 0,
            due: now,
            problem: None,
            created_at: now,
            updated_at: now,
        };
        let detail = format!("{} in {}", known.identity.describe(), encoding.as_str());
        let event = operator.event("voucher-wanted", CLAUSE, Some(&row.device), detail);
        self.store.commit(vec![Change::WantNoncelessVoucher(row.clone())], vec![event]).await?;
        let row = self.observer.fetch_voucher(row).await?.ok_or_else(no_daemon)?;
        Ok(NoncelessView::of(&row, &known))
    }

    fn require_prefetch(&self) -> Result<(), Problem> {
        let config = self.config.load();
        if config.identity.pin == Pin::EndEntity {
            let error =
                "identity.pin is \"ee\": such a voucher ends with the registrar's certificate";
            let hint = "set it to \"root\" or \"issuing-ca\" for vouchers that are fetched ahead";
            return Err(Problem::new(Kind::Conflict, error, hint));
        }
        if config.policy.nonceless == NoncelessVouchers::Refuse {
            let error = "policy.nonceless is \"refuse\": no pledge would get such a voucher";
            return Err(Problem::new(Kind::Conflict, error, "set it to \"accept\""));
        }
        Ok(())
    }

    /// Signs the request, with what is known of the device.
    async fn nonceless_request(
        &self,
        known: &KnownDevice,
        encoding: Encoding,
        wanted: &Prefetch,
    ) -> Result<Vec<u8>, Problem> {
        let invalid =
            |error: String| Problem::invalid(error, "give --issuer a CA certificate, PEM");
        let nobody = || {
            let error = format!("{} is no device with an IDevID", known.identity.describe());
            Problem::new(Kind::Conflict, error, "vouchers are for devices with IDevIDs")
        };
        let directory = ManufacturerDirectory::new(self.store.manufacturers().await?)
            .map_err(|error| Problem::new(Kind::Unavailable, error.to_string(), ""))?;
        let manufacturer = known.identity.manufacturer().and_then(|id| directory.by_id(id));
        let manufacturer = manufacturer.ok_or_else(nobody)?;
        let serial = known.identity.serial().and_then(|serial| SerialNumber::parse(serial).ok());
        let serial = serial.ok_or_else(nobody)?;
        let idevid = known.identity.seen();
        let idevid = idevid.and_then(|seen| Certificate::from_der(&seen.certificate).ok());
        let issuer = match &wanted.issuer {
            Some(pem) => CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|error| invalid(format!("the issuer is not PEM: {error}")))?,
            None => manufacturer.row.anchors.first().cloned().ok_or_else(nobody)?,
        };
        let issuer = Certificate::from_der(&issuer).map_err(|error| invalid(error.to_string()))?;
        let issuer = nonceless::idevid_issuer(idevid.as_ref(), &issuer);
        let subject =
            Subject { manufacturer: &manufacturer, serial: &serial, idevid: idevid.as_ref() };
        self.observer
            .voucher_request(subject, issuer, encoding)
            .ok_or_else(no_daemon)?
            .map_err(|refusal| Problem::new(Kind::Unavailable, refusal.detail(), ""))
    }

    /// Lists the vouchers that were fetched ahead.
    ///
    /// # Errors
    /// If the query is none; if the store fails.
    pub async fn vouchers(&self, query: &PageQuery) -> Result<Page<NoncelessView>, Problem> {
        let limit = limit(query.limit)?;
        let after: Option<(Id, String)> = query.after.as_deref().map(cursor::decode).transpose()?;
        let (device, encoding) =
            after.unwrap_or_else(|| (Id::from_stored(String::new()), String::new()));
        let rows = self.store.nonceless_vouchers((&device, &encoding), limit).await?;
        let is_full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let last = rows.last().filter(|_| is_full);
        let next = last.map(|row| cursor::encode(&(&row.device, row.encoding.as_str())));
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(known) = self.store.device(&row.device).await? {
                items.push(NoncelessView::of(row, &known));
            }
        }
        Ok(Page { items, next })
    }

    /// Everything about the vouchers of a device.
    ///
    /// # Errors
    /// If the device is unknown; if the store fails.
    pub async fn voucher_story(&self, device: &str) -> Result<VoucherStory, Problem> {
        let known = self.find(device).await?;
        let id = &known.device.id;
        let exchange = self.store.latest_voucher_exchange(id).await?;
        let mut ahead = Vec::new();
        for encoding in [Encoding::Cms, Encoding::Jws, Encoding::Cose] {
            let row = self.store.nonceless_voucher(id, encoding).await?;
            ahead.extend(row.map(|row| NoncelessView::of(&row, &known)));
        }
        Ok(VoucherStory {
            device: id.to_string(),
            last_exchange: exchange.as_ref().map(ExchangeView::from),
            fetched_ahead: ahead,
        })
    }
}

fn encoding(word: Option<&str>) -> Result<Encoding, Problem> {
    let word = word.unwrap_or(Encoding::Cms.as_str());
    let all = [Encoding::Cms, Encoding::Jws, Encoding::Cose];
    all.into_iter().find(|each| each.as_str() == word).ok_or_else(|| {
        Problem::invalid(format!("{word:?} is no encoding"), "give one of cms, jws, cose")
    })
}
