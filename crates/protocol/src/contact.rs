//! Where a role can be reached: the iroh endpoint id and its direct socket addresses.

use std::net::SocketAddr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::encoding::{DecodeError, decode, encode};

/// Most addresses in a contact. Eight leaves room for IPv4 and IPv6 on four interfaces.
pub const MAX_ADDRESSES: usize = 8;
/// Most bytes of an encoded contact; the contracts refuse longer ones (`MAX_CONTACT`).
pub const MAX_CONTACT_BYTES: usize = 256;

/// An endpoint's public key and where to dial it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contact {
    /// Ed25519 public key of the iroh endpoint.
    pub endpoint: [u8; 32],
    /// Direct addresses, at most [`MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
}

/// Wire form: versioned, so that relay addresses can be added.
#[derive(BorshSerialize, BorshDeserialize)]
enum Wire {
    V1 { endpoint: [u8; 32], addresses: Vec<WireAddress> },
}

#[derive(BorshSerialize, BorshDeserialize)]
enum WireAddress {
    V4 { ip: [u8; 4], port: u16 },
    V6 { ip: [u8; 16], port: u16 },
}

impl Contact {
    /// The canonical bytes put on chain. Addresses beyond [`MAX_ADDRESSES`] are left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let addresses = self
            .addresses
            .iter()
            .take(MAX_ADDRESSES)
            .map(|address| match address {
                SocketAddr::V4(v4) => WireAddress::V4 { ip: v4.ip().octets(), port: v4.port() },
                SocketAddr::V6(v6) => WireAddress::V6 { ip: v6.ip().octets(), port: v6.port() },
            })
            .collect();
        encode(&Wire::V1 { endpoint: self.endpoint, addresses })
    }

    /// Reads a contact from chain data.
    ///
    /// # Errors
    /// More than [`MAX_CONTACT_BYTES`], more than [`MAX_ADDRESSES`], or not an encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Wire::V1 { endpoint, addresses } = decode(bytes, MAX_CONTACT_BYTES)?;
        if addresses.len() > MAX_ADDRESSES {
            return Err(DecodeError::Malformed(format!("{} addresses", addresses.len())));
        }
        let addresses = addresses
            .into_iter()
            .map(|address| match address {
                WireAddress::V4 { ip, port } => (ip, port).into(),
                WireAddress::V6 { ip, port } => (ip, port).into(),
            })
            .collect();
        Ok(Self { endpoint, addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_survives_its_encoding_and_fits_the_contract_bound() {
        let contact = Contact {
            endpoint: [7; 32],
            addresses: (0..12).map(|port| SocketAddr::from(([0xfe80_u16; 8], port))).collect(),
        };
        let bytes = contact.to_bytes();
        assert!(bytes.len() <= MAX_CONTACT_BYTES, "{}", bytes.len());
        let read = Contact::from_bytes(&bytes).unwrap();
        assert_eq!(read.endpoint, contact.endpoint);
        assert_eq!(read.addresses, contact.addresses[..MAX_ADDRESSES]);
        assert!(Contact::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Contact::from_bytes(&[0; MAX_CONTACT_BYTES + 1]).is_err());
    }
}
