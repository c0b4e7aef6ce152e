//! The headers of Standard Webhooks (standardwebhooks.com, version 1.0.0): who got what when, signed. Pure.

use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The keys that sign a post; one signature each, so that a receiver can change its key at leisure.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// One key a line: `whsec_` and base64, or else the line's own bytes. Empty lines don't count; no key at all is an error.
    pub fn parse(file: &str) -> Result<Secrets, String> {
        let keys = file.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| match line.strip_prefix("whsec_") {
            Some(encoded) => BASE64.decode(encoded.as_bytes()).map_err(|_| "what follows whsec_ is not base64".to_owned()),
            None => Ok(line.as_bytes().to_vec()),
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.iter().all(Vec::is_empty) { Err("there is no secret in it".to_owned()) } else { Ok(Secrets(keys)) }
    }

    /// `webhook-signature`: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, one for each key, apart by a space.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().filter_map(|key| {
            // HMAC takes keys of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_published_example() {
        let secrets = Secrets::parse(&format!("{SECRET}\n")).unwrap();
        let sign = |id| secrets.sign(id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(sign("msg_p5jXN8AQM9LWM0D4loKWxJek"), SIGNATURE);
        assert_ne!(sign("msg_p5jXN8AQM9LWM0D4loKWxJel"), SIGNATURE);
    }

    #[test]
    fn every_line_signs() {
        let both = Secrets::parse(&format!("{SECRET}\n\nplain text \n")).unwrap();
        let signatures = both.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let (first, second) = signatures.split_once(' ').unwrap();
        assert_eq!(first, SIGNATURE);
        let plain = Secrets::parse("plain text").unwrap().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(second, plain);
    }

    #[test]
    fn unusable_files_are_told() {
        for bad in ["", "\n \n", "whsec_***", "whsec_"] {
            assert!(Secrets::parse(bad).is_err(), "{bad:?}");
        }
    }
}
