//! bounced: the MX of a Return-Path domain.
//!
//! The way of a mail is one line, and the modules stand along it:
//!
//! ```text
//!  sender's MTA ─► smtp ─► intake ─► message ─► classify ─► store.record ─► 250
//!                  bytes   envelope   Report     Verdict     loads Known, calls ledger,
//!                          + VERP                            commits Changes, syncs
//!                                                               │ only what is durable is seen
//!                   mail, post … ◄────── action ◄── outbox ◄────┘
//! ```

pub mod action;
pub mod address;
pub mod alert;
pub mod classify;
pub mod cli;
pub mod config;
pub mod control;
pub mod intake;
pub mod ledger;
pub mod message;
pub mod monitor;
pub mod outbox;
pub mod smtp;
pub mod stamp;
pub mod store;
pub mod taxonomy;
pub mod verp;
