//! After a restart, and after the clock was wrong: enrollments that were approved before their issuer heard of them.
//!
//! Orders of the bridge find themselves; this is for the gap before them.

use tracing::{info, warn};

use super::ApprovedCsr;
use crate::flow::enroll;
use crate::flow::refusal::Refusal;
use crate::http::app::{App, Refused};
use crate::http::est::{require_clock, submit};
use crate::policy::admission::readmit_stored;
use crate::store::model::Enrollment;

/// Submits what is approved and not ordered yet; what cannot be submitted now is when its pledge comes back.
pub async fn approved(app: &App) {
    let enrollments = match app.store.approved_enrollments().await {
        Ok(enrollments) => enrollments,
        Err(error) => return warn!(%error, "cannot look for approved enrollments"),
    };
    for enrollment in enrollments {
        match again(app, &enrollment).await {
            Ok(()) => info!(enrollment = %enrollment.id, "submitted again"),
            Err(refused) => {
                let reason = refused.refusal.detail();
                warn!(enrollment = %enrollment.id, reason, "not submitted again");
            }
        }
    }
}

async fn again(app: &App, enrollment: &Enrollment) -> Result<(), Refused> {
    require_clock(app).await?;
    let known = app.store.device(&enrollment.device).await?.ok_or(Refusal::NoVoucher)?;
    let admitted = readmit_stored(known)?;
    let csr = enroll::read(&enrollment.csr)?;
    let profile = &*app.profile(&enrollment.profile)?;
    let approved = ApprovedCsr::approve_again(admitted, csr, profile)?;
    let issuer = app.issuers.get(&enrollment.issuer).ok_or_else(|| Refusal::Internal {
        reason: format!("the configuration has no issuer {:?}", enrollment.issuer),
    })?;
    submit(app, &**issuer, enrollment, &approved).await
}
