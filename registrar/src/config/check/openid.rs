//! The files that `[admin.openid]` names.

use std::sync::Arc;

use rustls::RootCertStore;

use crate::config::{Config, Problem};
use crate::console::openid::provider::Provider;

/// What the daemon would not start with; the provider itself is not asked.
pub(super) fn problem(config: &Config) -> Option<Problem> {
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let openid = config.admin.openid.clone()?;
    let error = Provider::new(openid, crypto, RootCertStore::empty()).err()?;
    let (key, reason) = (error.key().to_owned(), error.to_string());
    Some(Problem { file: config.file.clone(), key, reason })
}
