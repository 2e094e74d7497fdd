//! What the end-to-end tests share: the real programs, outside programs, a site of the lab, a bridge before a real CA,
//! and a proxy before the CA.
//!
//! A test that needs an outside program says `skipped: …` and passes where that is missing; with `CI=true` it fails.

pub mod acme2certifier;
pub mod admin;
pub mod bridge_site;
pub mod browser;
pub mod console;
pub mod dns;
pub mod est;
pub mod filling;
pub mod listeners;
pub mod network;
pub mod openid;
pub mod pair;
pub mod postgres;
pub mod programs;
pub mod proxy;
pub mod scripted;
pub mod site;
pub mod step_ca;
pub mod valve;
