//! Out of file descriptors: accept waits and goes on by itself. Alone in its process, since it uses up all there are.

mod smtp_support;

use std::{fs::File, net::SocketAddr, sync::Arc, time::Duration};

use bounced::smtp::{Server, Settings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smtp_support::Fake;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

#[tokio::test]
async fn accept_goes_on_when_descriptors_are_free_again() {
    let limit = Duration::from_secs(3600);
    let settings = Settings {
        hostname: "mx.returns.test".into(),
        max_message_bytes: 1000,
        max_connections: 100,
        max_connections_per_ip: 100,
        max_guesses_per_ip: None,
        trusted_networks: Vec::new(),
        command_timeout: limit,
        data_timeout: limit,
        session_timeout: limit,
        tls: None,
    };
    let server = Server::new(settings.clone(), Arc::new(Fake::default()));
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    server.apply(server.prepare(settings, &[any]).unwrap());
    let address = server.addresses()[0];

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum: before.maximum }).unwrap();
    let mut used = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        used.push(file);
    }
    // One for the client, none for the server.
    used.pop().unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut code = [0; 4];
    assert!(timeout(Duration::from_millis(300), client.read_exact(&mut code)).await.is_err(), "greeted without a descriptor");
    drop(used);
    timeout(Duration::from_secs(60), client.read_exact(&mut code)).await.expect("greeted in time").unwrap();
    assert_eq!(&code, b"220 ");
}
