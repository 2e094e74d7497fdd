//! Simulated pledges and a MASA, and a whole site around a real registrar process and a real ACME CA.
//!
//! Everything lives on the loopback interface or in network namespaces of its own, keys are made at start, and certificates say `LAB ONLY`.
//! Nothing here links the registrar: what is shared with it are the codecs, and outside programs check those.

pub mod acme;
pub mod cli;
pub mod discovery;
pub mod est;
pub mod fault;
mod home;
pub mod http;
pub mod load;
pub mod masa;
pub mod net;
pub mod pebble;
pub mod pki;
pub mod pledge;
pub mod process;
pub mod proxy;
pub mod registrar;
pub mod report;
pub mod scenario;
mod service;
mod signals;
pub mod up;
