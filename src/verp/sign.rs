//! Day stamp and MAC: the `{sig}` of a pattern.
//!
//! Both are base32 (RFC 4648) in lower case: three characters for the day, ten (50 bits) of an HMAC-SHA256. Verifying takes the same time
//! whatever is wrong and whichever secret fits.

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::PersonKey;

/// Characters of the day stamp: 15 bits, so that it wraps every 89 years.
pub const STAMP: usize = 3;
/// Characters of the MAC.
const MAC: usize = 10;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const WRAP: i64 = 1 << 15;

/// An HMAC-SHA256 key, ready to use. Its `Debug` form shows nothing of it.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    pub fn new(bytes: &[u8]) -> Key {
        use hmac::digest::KeyInit;
        // HMAC takes a key of any length (RFC 2104, section 2); the other arm can't be reached and still gives a key.
        Key(<Hmac<Sha256> as KeyInit>::new_from_slice(bytes).unwrap_or_else(|_| <Hmac<Sha256> as KeyInit>::new(&Default::default())))
    }

    fn mac(&self, text: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    /// The first 80 bits.
    pub fn person(&self, text: &[u8]) -> PersonKey {
        let mut key = [0; 10];
        for (to, from) in key.iter_mut().zip(self.mac(text)) {
            *to = from;
        }
        PersonKey(key)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What is signed, see [`Signed::text`]. All parts lowercased.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// `long`, `short`, `id` or `own`.
    pub form: &'a str,
    /// `-` for none.
    pub campaign: &'a str,
    pub payload: &'a str,
    /// The domain of the return address.
    pub domain: &'a str,
}

impl Signed<'_> {
    /// Each part with its length before it, so that no two different returns give the same text.
    fn text(&self, stamp: &str) -> String {
        [self.form, self.campaign, stamp, self.payload, self.domain].iter().map(|part| format!("{}:{part}", part.len())).collect()
    }

    pub fn sign(&self, key: &Key, day: i32) -> String {
        let stamp = stamp(day);
        let mac = mac_text(&key.mac(self.text(&stamp).as_bytes()));
        stamp + &mac
    }

    /// The day that was signed, as near as can be to `today`; `None` where no key verifies.
    pub fn verify(&self, keys: &[Key], sig: &str, today: i32) -> Option<i32> {
        let (stamp, mac) = sig.split_at_checked(STAMP)?;
        let text = self.text(stamp);
        let mut genuine = false;
        for key in keys {
            genuine |= same(&mac_text(&key.mac(text.as_bytes())), mac);
        }
        if genuine { unstamp(stamp, today) } else { None }
    }
}

/// In constant time for texts of one length.
fn same(one: &str, other: &str) -> bool {
    let differing = one.bytes().zip(other.bytes()).fold(0, |bits, (a, b)| std::hint::black_box(bits | (a ^ b)));
    one.len() == other.len() && differing == 0
}

fn mac_text(mac: &[u8; 32]) -> String {
    base32(mac).chars().take(MAC).collect()
}

/// Lower case, no padding.
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// `None` where `text` is no base32.
pub fn unbase32(text: &str) -> Option<Vec<u8>> {
    BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok()
}

fn stamp(day: i32) -> String {
    let bits = i64::from(day).rem_euclid(WRAP);
    [10, 5, 0].iter().filter_map(|shift| ALPHABET.get((bits >> shift & 31) as usize)).map(|byte| char::from(*byte)).collect()
}

fn unstamp(stamp: &str, today: i32) -> Option<i32> {
    let bits = stamp.bytes().try_fold(0_i64, |bits, byte| {
        let digit = ALPHABET.iter().position(|symbol| *symbol == byte)?;
        Some(bits << 5 | digit as i64)
    })?;
    let ahead = (bits - i64::from(today)).rem_euclid(WRAP);
    let nearest = if ahead < WRAP / 2 { ahead } else { ahead - WRAP };
    i32::try_from(i64::from(today) + nearest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_back_to_the_day_nearest_to_today() {
        for today in [0, 20_000, 32_767, 32_768, 40_000, 70_000] {
            for ago in [-16_000, -2, 0, 1, 60, 16_000] {
                assert_eq!(unstamp(&stamp(today - ago), today), Some(today - ago), "{today} {ago}");
            }
        }
        assert_eq!(unstamp("a1b", 0), None);
        assert!(unstamp("aaa", i32::MAX).is_none_or(|day| day > 0));
    }

    #[test]
    fn the_signed_text_is_as_documented() {
        let signed = Signed { form: "long", campaign: "spring", payload: "alice=example.org", domain: "returns.example.com" };
        assert_eq!(signed.text("abc"), "4:long6:spring3:abc17:alice=example.org19:returns.example.com");
    }

    #[test]
    fn base32_is_rfc_4648_in_lower_case() {
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
        assert_eq!(unbase32("mzxw6ytboi").as_deref(), Some(&b"foobar"[..]));
    }
}
