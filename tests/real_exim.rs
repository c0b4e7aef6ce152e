//! A real Exim, its own reports, to the built binary: plain and over STARTTLS.

mod support;

use support::{journey::travel, mta::Exim};

const OVER_TLS: &str = "X=TLS1";

#[test]
fn reports_of_exim_come_in_plain() {
    travel(Exim::start, false, OVER_TLS);
}

#[test]
fn reports_of_exim_come_in_over_starttls() {
    travel(Exim::start, true, OVER_TLS);
}
