//! STARTTLS: the certificate and the key, read from the paths in the configuration.
//!
//! They are read when the daemon starts and with each reload, so a renewed certificate is taken up; when that fails the reader gets the error and
//! whoever called goes on with what it had.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("smtp.tls: cannot read {path:?}: {source}")]
    Pem { path: PathBuf, source: pem::Error },
    #[error("smtp.tls: no certificate in {path:?}")]
    NoCertificate { path: PathBuf },
    #[error("smtp.tls: certificate {cert:?} and key {key:?} cannot be used: {source}")]
    Unusable { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// Reads both files. The certificate's file holds its chain, its own first.
pub fn load(files: &TlsFiles) -> Result<TlsAcceptor, Error> {
    let pem = |path: &PathBuf| {
        let path = path.clone();
        move |source| Error::Pem { path, source }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&files.cert).and_then(Iterator::collect).map_err(pem(&files.cert))?;
    if chain.is_empty() {
        return Err(Error::NoCertificate { path: files.cert.clone() });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
    let unusable = |source| Error::Unusable { cert: files.cert.clone(), key: files.key.clone(), source };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        assert!(matches!(load(&files), Err(Error::Pem { path, .. }) if path == files.cert));
        let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (one, other) = (made("one.test"), made("other.test"));
        fs::write(&files.cert, "").unwrap();
        assert!(matches!(load(&files), Err(Error::NoCertificate { .. })));
        fs::write(&files.cert, one.cert.pem()).unwrap();
        fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
        assert!(matches!(load(&files), Err(Error::Unusable { .. })));
        fs::write(&files.key, one.signing_key.serialize_pem()).unwrap();
        assert!(load(&files).is_ok());
    }
}
