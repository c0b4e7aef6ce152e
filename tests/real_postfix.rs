//! A real Postfix, its own reports, to the built binary: plain and over STARTTLS.

mod support;

use support::{journey::travel, mta::Postfix};

const OVER_TLS: &str = "TLS connection established to 127.0.0.1";

#[test]
fn reports_of_postfix_come_in_plain() {
    travel(Postfix::start, false, OVER_TLS);
}

#[test]
fn reports_of_postfix_come_in_over_starttls() {
    travel(Postfix::start, true, OVER_TLS);
}
