//! mailin-embedded refuses the null sender, and every bounce has it (RFC 5321, section 4.5.5): so it cannot be the receiver here.
//!
//! When this test fails, upstream has mended it, and the README's words about the choice are out of date.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use mailin_embedded::{Handler, Server, SslConfig};

#[derive(Clone)]
struct TakesAll;

impl Handler for TakesAll {}

#[test]
fn mailin_answers_the_null_sender_with_500() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut server = Server::new(TakesAll);
        server.with_name("catcher.test").with_ssl(SslConfig::None).unwrap().with_tcp_listener(listener);
        server.serve().map_err(|error| error.to_string())
    });
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut client = BufReader::new(stream);
    let mut ask = |command: &str| {
        client.get_mut().write_all(command.as_bytes()).unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(client.read_line(&mut line).unwrap(), 0, "hung up");
            if line.as_bytes().get(3) == Some(&b' ') {
                return line;
            }
        }
    };
    assert!(ask("").starts_with("220"));
    assert!(ask("EHLO client.test\r\n").starts_with("250"));
    let null = ask("MAIL FROM:<>\r\n");
    assert!(null.starts_with("500"), "{null}");
    let named = ask("MAIL FROM:<a@client.test>\r\n");
    assert!(named.starts_with("250"), "{named}");
}
