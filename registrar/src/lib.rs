//! A BRSKI registrar (RFC 8995) and EST server (RFC 7030) whose certificates come from any ACME CA.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod daemon;
mod decoded;
pub mod entropy;
pub mod flow;
pub mod http;
pub mod identity;
pub mod issue;
pub mod keys;
pub mod masa;
pub mod notify;
pub mod observe;
pub mod policy;
pub mod secret;
pub mod store;
pub mod tls;
pub mod trail;
pub mod vault;
pub mod web;
