//! A server on loopback with a handler of the test's, and certificates for it.

#![allow(dead_code, clippy::unwrap_used)]

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bounced::{
    config::TlsFiles,
    smtp::{
        Handler, Server, Settings,
        limits::{Memory, PATIENCE},
    },
};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, pki_types::CertificateDer};

pub const LONG: Duration = Duration::from_secs(3600);

pub fn settings() -> Settings {
    Settings {
        hostname: "mx.returns.test".into(),
        max_message_bytes: 1 << 20,
        max_connections: 100,
        max_connections_per_ip: 100,
        max_guesses_per_ip: None,
        trusted_networks: Vec::new(),
        command_timeout: LONG,
        data_timeout: LONG,
        session_timeout: LONG,
        tls: None,
    }
}

pub fn start<H: Handler>(settings: Settings, handler: &Arc<H>) -> (Server<H>, SocketAddr) {
    start_with(settings, handler, Memory::new(64 << 20, PATIENCE))
}

pub fn start_with<H: Handler>(settings: Settings, handler: &Arc<H>, memory: Memory) -> (Server<H>, SocketAddr) {
    let server = Server::with_memory(settings.clone(), Arc::clone(handler), memory);
    let prepared = server.prepare(settings, &["127.0.0.1:0".parse().unwrap()]).unwrap();
    server.apply(prepared);
    let address = server.addresses()[0];
    (server, address)
}

/// Writes a certificate and its key; gives a client that trusts this certificate alone.
pub fn certify(files: &TlsFiles, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["mx.returns.test".to_owned()]).unwrap();
    fs::write(&files.cert, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    trusting(made.cert.der().clone(), versions)
}

pub fn trusting(certificate: CertificateDer<'static>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub fn files(dir: &Path) -> TlsFiles {
    TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") }
}
