//! Who has signed something for good.

use alloy_primitives::{Address, B256, Signature};
use tilth_protocol::signed::SIGNATURE_BYTES;

/// The account whose signature of this hash it is. Only one form of a signature counts, so that what is signed has one
/// hash: a low `s`, and a parity as contracts have it.
pub(crate) fn signer(hash: &B256, signature: &[u8; SIGNATURE_BYTES]) -> Option<Address> {
    if !matches!(signature.last(), Some(27 | 28)) {
        return None;
    }
    let signature = Signature::from_raw_array(signature).ok()?;
    if signature.normalize_s().is_some() {
        return None;
    }
    signature.recover_address_from_prehash(hash).ok()
}

#[cfg(test)]
mod tests {
    use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
    use alloy_primitives::U256;

    use super::*;

    #[test]
    fn only_one_form_of_a_signature_counts() {
        let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let hash = B256::repeat_byte(5);
        let signed = key.sign_hash_sync(&hash).unwrap();
        let good = signed.as_bytes();
        assert_eq!(signer(&hash, &good), Some(key.address()));
        assert_ne!(signer(&B256::repeat_byte(6), &good), Some(key.address()));
        // As good to a library that is generous: the other `s`, and other words for the parity.
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        let order = U256::from_str_radix(order, 16).unwrap();
        let high = Signature::new(signed.r(), order - signed.s(), !signed.v());
        assert_eq!(high.recover_address_from_prehash(&hash).unwrap(), key.address());
        assert_eq!(signer(&hash, &high.as_bytes()), None);
        for parity in [u8::from(signed.v()), u8::from(signed.v()) + 35] {
            let mut other = good;
            other[SIGNATURE_BYTES - 1] = parity;
            assert_eq!(signer(&hash, &other), None, "{parity}");
        }
    }
}
