//! The built binary on loopback: mail in by SMTP, what it knows by its commands, mail and posts out to real servers.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod backscatter;
mod counting;
mod doors;
mod firing;
mod guard;
mod injection;
mod keeping;
mod letters;
mod operator;
mod past;
mod people;
mod posts;
mod reports;
mod resends;
mod rules;
mod secrets;
mod sequences;
mod service;
mod stranger;
mod targets;
mod telling;
mod upheaval;
