//! The relay's certificate: files from an authority, or one that it makes for itself.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use iroh_relay::server::reloading_resolver;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use tilth_service::files;

use crate::RelayError;

/// How often certificate files are read again: renewed ones work without a restart.
const RELOAD: Duration = Duration::from_secs(3_600);
/// Most names in a certificate of our own.
const MAX_NAMES: usize = 16;

/// A certificate chain and its key, in files (PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chain. Whoever uses a relay with a certificate of its own is given this file.
    pub certificate: PathBuf,
    /// The key, which stays here.
    pub key: PathBuf,
}

impl Identity {
    /// The relay's own certificate in a folder, made when there is none yet, for these host names and
    /// addresses. One that is there is kept even if the names have changed, because others trust it.
    ///
    /// # Errors
    /// [`RelayError::Certificate`].
    pub fn own(dir: &Path, names: &[String]) -> Result<Self, RelayError> {
        let found =
            Self { certificate: dir.join("relay-certificate.pem"), key: dir.join("relay.key") };
        if found.certificate.exists() && found.key.exists() {
            return Ok(found);
        }
        let failed =
            |path: &Path, detail: String| RelayError::Certificate { path: path.to_owned(), detail };
        if found.certificate.exists() {
            let detail = "the certificate is there and its key is not: put it back, or remove the \
                          certificate and hand out a new one";
            return Err(failed(&found.key, detail.to_owned()));
        }
        if names.is_empty() || names.len() > MAX_NAMES {
            let detail =
                format!("{} names for the certificate, 1 to {MAX_NAMES} can be", names.len());
            return Err(failed(dir, detail));
        }
        let made = rcgen::generate_simple_self_signed(names);
        let made = made.map_err(|error| failed(dir, error.to_string()))?;
        let key = made.signing_key.serialize_pem();
        // The key first: a certificate alone would be handed out and then not work.
        files::write_secret(&found.key, key.as_bytes())
            .and_then(|()| files::write_whole(&found.certificate, made.cert.pem().as_bytes()))
            .map_err(|error| failed(dir, error.to_string()))?;
        Ok(found)
    }
}

/// The TLS side of an identity.
pub(crate) async fn server_config(identity: &Identity) -> Result<ServerConfig, RelayError> {
    let Identity { certificate, key } = identity;
    let failed =
        |path: &Path, detail: String| RelayError::Certificate { path: path.to_owned(), detail };
    // Read once here, for messages that name the file.
    CertificateDer::pem_file_iter(certificate)
        .and_then(|mut chain| {
            chain.next().unwrap_or(Err(rustls::pki_types::pem::Error::NoItemsFound))
        })
        .map_err(|error| failed(certificate, error.to_string()))?;
    fs::metadata(key).map_err(|error| failed(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let resolver = reloading_resolver(&provider, certificate.clone(), key.clone(), RELOAD).await;
    let resolver = resolver.map_err(|error| failed(key, format!("{error:#}")))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(certificate, error.to_string()))?;
    Ok(config.with_no_client_auth().with_cert_resolver(resolver))
}
