//! Hashes that every replica, build and machine agrees on.

use sha2::{Digest, Sha256};

/// The first 8 bytes of SHA-256.
pub(crate) fn stable_hash(parts: &[&[u8]]) -> u64 {
    let digest = stable_digest(parts);
    u64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

/// SHA-256 over the parts, each led by its length so that no two lists of parts read alike.
pub(crate) fn stable_digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
