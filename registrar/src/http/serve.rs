//! Puts the daemon together, runs it, and stops it cleanly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use acme_bridge::{Clock, dns};
use anyhow::Context as _;
