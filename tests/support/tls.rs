//! A certificate for `localhost`, a server that speaks TLS from the first byte, and a test run again in a process that trusts it.
#![allow(dead_code, clippy::unwrap_used)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivatePkcs8KeyDer};

/// Runs an ignored test of this test binary in a process of its own that trusts a certificate for `localhost`, made into a new folder.
/// Root certificates come from the environment, and a test may not change its own.
pub fn trusting(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.path().join("cert.der"), made.cert.der()).unwrap();
    fs::write(folder.path().join("key.der"), made.signing_key.serialize_der()).unwrap();
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .env("SSL_CERT_FILE", folder.path().join("cert.pem"))
        .env_remove("SSL_CERT_DIR")
        .env("BOUNCED_TEST_FOLDER", folder.path())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && out.contains("1 passed"), "{out}{}", String::from_utf8_lossy(&inner.stderr));
}

/// The folder that [`trusting`] made.
pub fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("BOUNCED_TEST_FOLDER").expect("run by `trusting`"))
}

/// Serves each connection on a thread; gives the port. A client that won't shake hands is none of its business.
pub fn serve(folder: &Path, each: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(fs::read(folder.join("key.der")).unwrap());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![fs::read(folder.join("cert.der")).unwrap().into()], key.into());
    let (config, each) = (Arc::new(config.unwrap()), Arc::new(each));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (connection, each) = (ServerConnection::new(config.clone()).unwrap(), each.clone());
            thread::spawn(move || each(StreamOwned::new(connection, stream.unwrap())));
        }
    });
    port
}
