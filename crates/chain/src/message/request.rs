//! A request's fields with defaults filled in, and the form in which the machine takes them.

use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::{
    context::{TxEnv, either::Either},
    primitives::hardfork::SpecId,
};

/// A message with every field decided.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) from: Address,
    /// `None` creates a contract.
    pub(crate) to: Option<Address>,
    pub(crate) gas: u64,
    /// As given: makes it a message without EIP-1559 fees.
    pub(crate) gas_price: Option<u128>,
    /// Most wei per gas; equals the gas price if that is given.
    pub(crate) fee_cap: u128,
    /// Most wei per gas for the beneficiary; equals the gas price if that is given.
    pub(crate) tip_cap: u128,
    pub(crate) value: U256,
    pub(crate) nonce: u64,
    pub(crate) data: Bytes,
    pub(crate) access_list: Option<AccessList>,
    pub(crate) blob_fee_cap: Option<u128>,
    pub(crate) blob_hashes: Option<Vec<B256>>,
    pub(crate) authorizations: Option<Vec<SignedAuthorization>>,
}

impl Message {
    /// Fills in what the request leaves open: zero for prices, value and nonce, `gas_max` for the
    /// gas, which is also the most it can be (0: unlimited).
    ///
    /// # Errors
    /// The complaint, if fields contradict each other or name another chain.
    pub(crate) fn new(
        request: &TransactionRequest,
        chain_id: u64,
        gas_max: u64,
    ) -> Result<Self, String> {
        let dynamic = request.max_fee_per_gas.or(request.max_priority_fee_per_gas);
        if request.gas_price.is_some() && dynamic.is_some() {
            return Err(BOTH_PRICES.to_owned());
        }
        if let Some(have) = request.chain_id
            && have != chain_id
        {
            return Err(format!("chainId does not match node's (have={have}, want={chain_id})"));
        }
        let gas = match (request.gas, gas_max) {
            (None, 0) => u64::MAX / 2,
            (Some(gas), 0) => gas,
            (gas, max) => gas.map_or(max, |gas| gas.min(max)),
        };
        let price = request.gas_price;
        let blob_hashes = request.blob_versioned_hashes.clone();
        let blob_fee_cap = request.max_fee_per_blob_gas.or_else(|| blob_hashes.as_ref().map(|_| 0));
        let input = &request.input;
        Ok(Self {
            from: request.from.unwrap_or_default(),
            to: request.to.and_then(|to| to.to().copied()),
            gas,
            gas_price: price,
            fee_cap: price.or(request.max_fee_per_gas).unwrap_or_default(),
            tip_cap: price.or(request.max_priority_fee_per_gas).unwrap_or_default(),
            value: request.value.unwrap_or_default(),
            nonce: request.nonce.unwrap_or_default(),
            data: input.input.clone().or_else(|| input.data.clone()).unwrap_or_default(),
            access_list: request.access_list.clone(),
            blob_fee_cap,
            blob_hashes,
            authorizations: request.authorization_list.clone(),
        })
    }

    /// What it pays per gas in a block with this base fee.
    pub(crate) fn price(&self, base_fee: u64) -> u128 {
        if self.fee_cap == 0 && self.tip_cap == 0 {
            return 0;
        }
        self.tip_cap.saturating_add(base_fee.into()).min(self.fee_cap)
    }

    /// The message as the machine takes it. The machine compares no nonces, so it is given none.
    pub(crate) fn environment(&self, chain_id: u64, fork: SpecId) -> TxEnv {
        let authorizations = self.authorizations.clone().unwrap_or_default();
        let blob_hashes = self.blob_hashes.clone().unwrap_or_default();
        let tx_type = match () {
            () if !authorizations.is_empty() => 4,
            () if !blob_hashes.is_empty() => 3,
            () if fork.is_enabled_in(SpecId::LONDON) => 2,
            () if fork.is_enabled_in(SpecId::BERLIN) => 1,
            () => 0,
        };
        TxEnv {
            tx_type,
            caller: self.from,
            gas_limit: self.gas,
            gas_price: self.fee_cap,
            gas_priority_fee: (tx_type >= 2).then_some(self.tip_cap),
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: self.data.clone(),
            nonce: 0,
            chain_id: Some(chain_id),
            access_list: self.access_list.clone().unwrap_or_default(),
            blob_hashes,
            max_fee_per_blob_gas: self.blob_fee_cap.unwrap_or_default(),
            authorization_list: authorizations.into_iter().map(Either::Left).collect(),
        }
    }
}

/// geth's complaint about a legacy price beside EIP-1559 fees.
pub(crate) const BOTH_PRICES: &str =
    "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
