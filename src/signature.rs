//! Signatures of Standard Webhooks 1.0.0: who holds the secret can tell that a message is ours, whole, and new.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;

/// How a secret is led.
const LEAD: &str = "whsec_";

/// The bytes that a secret stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

/// Reads a secret: `whsec_` and the Base64 of 24 to 64 bytes.
///
/// # Errors
/// What is wrong with it, without repeating it.
pub fn key(secret: &str) -> Result<SigningKey, String> {
    let coded = secret.strip_prefix(LEAD).ok_or("it does not begin with `whsec_`")?;
    let bytes = STANDARD
        .decode(coded)
        .or_else(|_| STANDARD_NO_PAD.decode(coded))
        .map_err(|_| "what follows `whsec_` is not Base64".to_owned())?;
    if !(24..=64).contains(&bytes.len()) {
        return Err(format!("it stands for {} bytes; 24 to 64 are asked for", bytes.len()));
    }
    Ok(SigningKey(bytes))
}

/// A secret that was never used before.
pub fn fresh() -> String {
    format!("{LEAD}{}", STANDARD.encode(rand::random::<[u8; 32]>()))
}

/// The headers that say and prove what message this is. Several keys make several signatures.
pub fn headers(keys: &[SigningKey], id: &str, at: Timestamp, body: &[u8]) -> Vec<(&'static str, String)> {
    let seconds = at.as_secs();
    let mut all = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", seconds.to_string())];
    let signatures: Vec<String> = keys.iter().filter_map(|key| sign(key, id, seconds, body)).collect();
    if !signatures.is_empty() {
        all.push(("webhook-signature", signatures.join(" ")));
    }
    all
}

fn sign(SigningKey(key): &SigningKey, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_secs(1_614_265_330);
        let all = headers(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        let wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(all[2], ("webhook-signature", wanted.to_owned()));
    }

    #[test]
    fn two_keys_make_two_signatures_and_none_makes_none() {
        let keys = [key(&fresh()).unwrap(), key(&fresh()).unwrap()];
        let at = Timestamp::from_secs(1_614_265_330);
        let signed = headers(&keys, "1", at, b"x");
        assert_eq!(signed[2].1.split(' ').count(), 2);
        assert_eq!(headers(&[], "1", at, b"x").len(), 2);
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_repeating_it() {
        for wrong in ["geheim", "whsec_***", "whsec_AAAA", ""] {
            let why = key(wrong).err().unwrap();
            assert!(!why.contains("geheim"), "{why}");
        }
    }
}
