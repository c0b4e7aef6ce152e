//! The `bounced` command. Everything is in the library, along the way of a mail.

fn main() {}
