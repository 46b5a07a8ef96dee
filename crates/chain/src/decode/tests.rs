//! The words are geth's; expectations were taken from its source and its published test vectors.

use std::collections::BTreeMap;

use alloy_eips::{BlockId, BlockNumberOrTag};
use proptest::prelude::*;

use super::*;

fn refused<T: Parameter + fmt::Debug>(json: &str) -> String {
    T::decode(json).unwrap_err().to_string()
}

#[test]
fn hashes_and_addresses_are_exact() {
    let hash = B256::repeat_byte(0xab);
    assert_eq!(B256::decode(&format!("\"{hash}\"")).unwrap(), hash);
    for (json, reason) in [
        ("5", "json: cannot unmarshal non-string into Go value of type common.Hash"),
        ("null", "json: cannot unmarshal non-string into Go value of type common.Hash"),
        ("\"\"", "hex string has length 0, want 64 for common.Hash"),
        ("\"0x12\"", "hex string has length 2, want 64 for common.Hash"),
        (
            "\"12\"",
            "json: cannot unmarshal hex string without 0x prefix into Go value of type common.Hash",
        ),
        (
            "\"0x123\"",
            "json: cannot unmarshal hex string of odd length into Go value of type common.Hash",
        ),
    ] {
        assert_eq!(refused::<B256>(json), reason, "{json}");
    }
    let letters = format!("\"0x{}\"", "zz".repeat(20));
    assert_eq!(
        refused::<Address>(&letters),
        "json: cannot unmarshal invalid hex string into Go value of type common.Address"
    );
    assert_eq!(
        refused::<Address>(&format!("\"0x{}\"", "1".repeat(42))),
        "hex string has length 42, want 40 for common.Address"
    );
    let inside = Address::decode("7").unwrap_err().in_field("TransactionArgs.from");
    assert_eq!(
        inside.to_string(),
        "json: cannot unmarshal non-string into Go struct field TransactionArgs.from of type \
         common.Address"
    );
}

#[test]
fn numbers_are_quantities() {
    assert_eq!(U64::decode("\"0x0\"").unwrap(), U64::ZERO);
    assert_eq!(U64::decode("\"\"").unwrap(), U64::ZERO);
    assert_eq!(U64::decode("\"0XfF\"").unwrap(), U64::from(255));
    let wrong =
        |found| format!("json: cannot unmarshal {found} into Go value of type hexutil.Uint64");
    assert_eq!(refused::<U64>("\"0x\""), wrong("hex string \"0x\""));
    assert_eq!(refused::<U64>("\"0x01\""), wrong("hex number with leading zero digits"));
    assert_eq!(refused::<U64>("\"0x1g\""), wrong("invalid hex string"));
    assert_eq!(refused::<U64>("\"0x10000000000000000\""), wrong("hex number > 64 bits"));
    assert_eq!(refused::<U64>("16"), wrong("non-string"));
    assert_eq!(
        refused::<U256>(&format!("\"0x1{}\"", "0".repeat(64))),
        "json: cannot unmarshal hex number > 256 bits into Go value of type *hexutil.Big"
    );
    assert_eq!(U256::decode(&format!("\"0x{}\"", "f".repeat(64))).unwrap(), U256::MAX);
    assert_eq!(Count::decode("\"0x10\"").unwrap(), Count(16));
    assert_eq!(Count::decode("\"10\"").unwrap(), Count(10));
    assert_eq!(Count::decode("10").unwrap(), Count(10));
    assert_eq!(refused::<Count>("\"+1\""), "invalid hex or decimal integer \"+1\"");
    assert_eq!(refused::<Count>("1.5"), "invalid hex or decimal integer \"1.5\"");
    assert_eq!(
        refused::<u64>("1.5"),
        "json: cannot unmarshal number 1.5 into Go value of type uint64"
    );
}

#[test]
fn blocks_by_number_or_tag() {
    type Block = BlockNumberOrTag;
    assert_eq!(Block::decode("\"0x10\"").unwrap(), Block::Number(16));
    assert_eq!(Block::decode("\"safe\"").unwrap(), Block::Safe);
    for (json, reason) in [
        ("\"2\"", "hex string without 0x prefix"),
        ("2", "hex string without 0x prefix"),
        ("null", "hex string without 0x prefix"),
        ("\"0x\"", "hex string \"0x\""),
        ("\"\"", "empty hex string"),
        ("\"0x02\"", "hex number with leading zero digits"),
        ("\"0x1z\"", "invalid hex string"),
        ("\"0x8000000000000000\"", "block number larger than int64"),
        ("\"0x10000000000000000\"", "hex number > 64 bits"),
    ] {
        assert_eq!(refused::<Block>(json), reason, "{json}");
    }
}

#[test]
fn blocks_by_object_as_in_eip_1898() {
    let hash = B256::repeat_byte(7);
    let object = format!(r#"{{"blockHash":"{hash}","requireCanonical":true}}"#);
    let BlockId::Hash(found) = BlockId::decode(&object).unwrap() else { panic!("not a hash") };
    assert_eq!((found.block_hash, found.require_canonical), (hash, Some(true)));
    let number = BlockId::decode(r#"{"blockNumber":"0x5"}"#).unwrap();
    assert_eq!(number, BlockId::number(5));
    assert_eq!(BlockId::decode(r#"{"BLOCKNUMBER":"latest"}"#).unwrap(), BlockId::latest());
    assert_eq!(BlockId::decode(&format!("\"{hash}\"")).unwrap(), BlockId::hash(hash));
    for (json, reason) in [
        (
            format!(r#"{{"blockHash":"{hash}","blockNumber":"0x1"}}"#),
            "cannot specify both BlockHash and BlockNumber, choose one or the other",
        ),
        ("{}".to_owned(), "must specify either BlockHash or BlockNumber"),
        ("null".to_owned(), "must specify either BlockHash or BlockNumber"),
        (
            r#"{"blockNumber":"1"}"#.to_owned(),
            "json: cannot unmarshal object into Go value of type string",
        ),
        ("5".to_owned(), "json: cannot unmarshal number into Go value of type string"),
        ("\"0x8000000000000000\"".to_owned(), "blocknumber too high"),
        (format!("\"0x{}\"", "g".repeat(64)), "invalid hex string"),
        ("\"newest\"".to_owned(), "hex string without 0x prefix"),
    ] {
        assert_eq!(refused::<BlockId>(&json), reason, "{json}");
    }
}

#[test]
fn storage_keys_are_lenient() {
    let one = B256::with_last_byte(1);
    for (text, bytes) in [("0x1", 1), ("1", 1), ("0x01", 1), ("0x0001", 2)] {
        assert_eq!(StorageKey::read(text).unwrap(), StorageKey { slot: one, bytes }, "{text}");
    }
    assert_eq!(StorageKey::read("").unwrap().slot, B256::ZERO);
    assert_eq!(StorageKey::read(&one.to_string()).unwrap().bytes, 32);
    assert_eq!(
        StorageKey::read("0xasdf").unwrap_err().to_string(),
        "invalid hex in storage key: \"0xasdf\""
    );
    let long = format!("0x0{one:x}");
    assert!(StorageKey::read(&long).unwrap_err().to_string().starts_with("storage key too long"));
}

#[test]
fn lists_are_counted_but_not_kept() {
    let list = format!("[{}1]", "1,".repeat(500));
    let bounded = Bounded::<f64, 100>::decode(&list).unwrap();
    assert_eq!((bounded.items.len(), bounded.given), (100, 501));
    assert_eq!(
        refused::<Bounded<f64, 100>>("[\"1\"]"),
        "json: cannot unmarshal string into Go value of type float64"
    );
    assert_eq!(
        refused::<Bounded<String, 100>>("{}"),
        "json: cannot unmarshal object into Go value of type []string"
    );
    assert_eq!(arguments("[1,2]", 2).unwrap().len(), 2);
    assert!(arguments("null", 2).unwrap().is_empty());
    let many = arguments("[1,2,3]", 2).unwrap_err().to_string();
    assert_eq!(many, "too many arguments, want at most 2");
    assert_eq!(arguments("{}", 2).unwrap_err().to_string(), "non-array args");
}

#[test]
fn slot_requests_stay_within_their_limit() {
    let (account, slot) = (Address::repeat_byte(1), B256::repeat_byte(2));
    let one = SlotRequest::decode(&format!(r#"{{"{account:?}":["{slot}",null]}}"#));
    assert_eq!(
        one.unwrap_err().to_string(),
        "json: cannot unmarshal non-string into Go value of type common.Hash"
    );
    let one = SlotRequest::decode(&format!(r#"{{"{account:?}":["{slot}"]}}"#)).unwrap();
    assert_eq!(one.slots, BTreeMap::from([(account, vec![slot])]));
    let key = SlotRequest::decode(r#"{"0x12":[]}"#).unwrap_err();
    assert_eq!(key.to_string(), "hex string has length 2, want 40 for Address");
    let slots = format!("\"{slot}\",").repeat(600);
    let slots = slots.trim_end_matches(',');
    let other = Address::repeat_byte(3);
    let many = format!(r#"{{"{account:?}":[{slots}],"{other:?}":[{slots}]}}"#);
    assert!(SlotRequest::decode(&many).unwrap().too_many);
}

#[test]
fn transactions_are_refused_in_geths_words() {
    for (raw, reason) in [
        ("", "typed transaction too short"),
        ("02", "typed transaction too short"),
        ("05c0", "transaction type not supported"),
        ("00c0", "transaction type not supported"),
        ("03c0", "transaction type not supported: received type 3"),
        ("c0ffee", "rlp: too few elements for types.LegacyTx"),
        ("02c0", "rlp: too few elements for types.DynamicFeeTx"),
        ("0180", "rlp: expected input list for types.AccessListTx"),
        ("c180ff", "rlp: too few elements for types.LegacyTx"),
        ("f8", "rlp: value size exceeds available input length"),
        ("c480", "rlp: value size exceeds available input length"),
        ("ca80808080808080808080", "rlp: input list has too many elements for types.LegacyTx"),
    ] {
        let raw = hex::decode(raw).unwrap();
        assert_eq!(transaction(&raw).unwrap_err().to_string(), reason, "{raw:02x?}");
    }
    // A transaction that geth published, with and without something behind it.
    let mut raw = hex::decode(
        "f86c808401a213988261a894aa000000000000000000000000000000000000000a8255448718e5bb3abd109fa0\
         73fbe7ff7e74339e7cc61fb3cb3f7630cd3f1d5fef653d7297654b2d22894daea042a188d30f35f19408c73c80\
         3bc1e9e17ce129c457e31fd2a368b54507af2f4c",
    )
    .unwrap();
    let hash = "b55b6dfd4ba0bb2b00283b0e84cda496c90bc7c5ae9025e07edc3a7fbaf6a269";
    assert_eq!(transaction(&raw).unwrap().tx_hash().to_string(), format!("0x{hash}"));
    raw.push(0);
    let trailing = transaction(&raw).unwrap_err().to_string();
    assert_eq!(trailing, "rlp: input contains more than one value");
}

#[test]
fn requests_are_as_strict_as_geths() {
    use alloy_rpc_types_eth::TransactionRequest;
    let read = TransactionRequest::decode;
    let address = format!("\"0x{}\"", "12".repeat(20));
    let text = format!(
        r#"{{"FROM":{address},"to":null,"gas":"0x5208","gasPrice":"0x0","value":"","nonce":"0x1",
        "data":"0x01","Input":"0x0102","chainId":"0x1cbd","type":"0x9","other":[1],
        "accessList":[{{"address":{address},"storageKeys":[]}}]}}"#
    );
    let request = read(&text).unwrap();
    assert_eq!(request.from, Some(Address::repeat_byte(0x12)));
    assert_eq!((request.to, request.gas, request.nonce), (None, Some(21_000), Some(1)));
    assert_eq!((request.gas_price, request.value), (Some(0), Some(U256::ZERO)));
    assert_eq!(request.input.data, Some(Bytes::from_static(&[1])));
    assert_eq!(request.input.input, Some(Bytes::from_static(&[1, 2])));
    assert_eq!((request.chain_id, request.transaction_type), (Some(7357), None));
    assert_eq!(request.access_list.unwrap().0.len(), 1);
    assert_eq!(read("null").unwrap(), TransactionRequest::default());
    let most = format!("{{\"gasPrice\":\"{:#x}\"}}", U256::MAX);
    assert_eq!(read(&most).unwrap().gas_price, Some(u128::MAX));
    let field = "json: cannot unmarshal {} into Go struct field TransactionArgs";
    for (text, found, rest) in [
        (r#"{"gas":21000}"#, "non-string", ".gas of type hexutil.Uint64"),
        (
            r#"{"gas":"0x05208"}"#,
            "hex number with leading zero digits",
            ".gas of type hexutil.Uint64",
        ),
        (r#"{"gas":"21000"}"#, "hex string without 0x prefix", ".gas of type hexutil.Uint64"),
        (r#"{"value":"0x"}"#, "hex string \"0x\"", ".value of type *hexutil.Big"),
        (r#"{"data":"0x123"}"#, "hex string of odd length", ".data of type hexutil.Bytes"),
        (r#"{"to":7}"#, "non-string", ".to of type common.Address"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert_eq!(error, format!("{}{rest}", field.replace("{}", found)), "{text}");
    }
    for (text, message) in [
        ("7", "json: cannot unmarshal number into Go value of type ethapi.TransactionArgs"),
        (r#"{"to":"0x12"}"#, "hex string has length 2, want 40 for common.Address"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn an_authorization_is_whole() {
    use alloy_rpc_types_eth::TransactionRequest;
    let address = Address::repeat_byte(7);
    let members = [
        ("chainId", "\"0x0\"".to_owned()),
        ("address", format!("\"{address}\"")),
        ("nonce", "\"0x1\"".to_owned()),
        ("yParity", "\"0x1\"".to_owned()),
        ("r", "\"0x2\"".to_owned()),
        ("s", "\"0x3\"".to_owned()),
    ];
    let read = |members: &[(&str, String)]| {
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let text = format!("{{\"authorizationList\":[{{{}}}]}}", members.join(","));
        TransactionRequest::decode(&text).map(|request| request.authorization_list.unwrap())
    };
    let whole = read(&members).unwrap();
    assert_eq!((whole[0].address, whole[0].nonce, whole[0].y_parity()), (address, 1, 1));
    for (index, (name, _)) in members.iter().enumerate() {
        let mut others = members.to_vec();
        others.remove(index);
        let missing = format!("missing required field '{name}' for SetCodeAuthorization");
        assert_eq!(read(&others).unwrap_err().to_string(), missing);
        // Null is none.
        let mut null = members.to_vec();
        null[index].1 = "null".to_owned();
        assert_eq!(read(&null).unwrap_err().to_string(), missing);
    }
    // Some clients have another name for the parity.
    let mut other = members.to_vec();
    other[3].0 = "v";
    assert_eq!(read(&other).unwrap(), whole);
    // What is no parity is none in a byte either.
    other[3].1 = "\"0x100\"".to_owned();
    assert_eq!(read(&other).unwrap()[0].y_parity(), u8::MAX);
    for (list, reason) in [
        (
            "{}",
            "json: cannot unmarshal object into Go struct field \
             TransactionArgs.authorizationList of type []types.SetCodeAuthorization",
        ),
        ("[null]", "missing required field 'chainId' for SetCodeAuthorization"),
        (
            r#"[{"chainId":1}]"#,
            "json: cannot unmarshal non-string into Go struct field \
             SetCodeAuthorization.chainId of type *hexutil.Big",
        ),
    ] {
        let text = format!("{{\"authorizationList\":{list}}}");
        assert_eq!(TransactionRequest::decode(&text).unwrap_err().to_string(), reason);
    }
}

/// JSON of all kinds, near to what is taken.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| value.to_string()),
        "\"(0x|0X)?[0-9a-fg]{0,68}\"",
        "\"(latest|pending|earliest|safe|finalized|\\\\u0030x1)\"",
        "\\PC{0,20}",
    ];
    leaf.prop_recursive(3, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(
                ("(blockNumber|blockHash|requireCanonical|0x[0-9a-f]{40})", inner),
                0..4
            )
            .prop_map(|fields| {
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_a_decoder_panic(text in json()) {
        every(&text);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(text in any::<String>()) {
        every(&text);
    }

    #[test]
    fn no_bytes_make_the_transaction_decoder_panic(
        kind in 0_u8..6,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = transaction(&bytes);
        let length = u8::try_from(bytes.len()).unwrap();
        let _ = transaction(&[&[kind, 0xf8, length], bytes.as_slice()].concat());
    }

    #[test]
    fn what_is_written_is_read(number in any::<u64>(), word in any::<[u8; 32]>()) {
        let (value, hash) = (U256::from_be_bytes(word), B256::from(word));
        prop_assert_eq!(U64::decode(&format!("\"{number:#x}\"")).unwrap(), U64::from(number));
        prop_assert_eq!(U256::decode(&format!("\"{value:#x}\"")).unwrap(), value);
        prop_assert_eq!(B256::decode(&format!("\"{hash}\"")).unwrap(), hash);
        prop_assert_eq!(Bytes::decode(&format!("\"{hash}\"")).unwrap(), Bytes::from(word));
        prop_assert_eq!(Count::decode(&format!("\"{number}\"")).unwrap(), Count(number));
    }
}

#[test]
fn overrides_are_read_as_geth_reads_them() {
    use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};

    use crate::message::BlockOverrides;

    let (at, slot) = (Address::repeat_byte(7), B256::repeat_byte(1));
    let account = |content: &str| format!(r#"{{"{at}":{content}}}"#);
    let given = account(&format!(
        r#"{{"Balance":"0x5","NONCE":"0x1","code":"0x00","stateDiff":{{"{slot}":"{slot}"}},"more":[1]}}"#
    ));
    let read = StateOverride::decode(&given).unwrap();
    assert_eq!((read[&at].balance, read[&at].nonce), (Some(U256::from(5)), Some(1)));
    assert_eq!(read[&at].code, Some(Bytes::from_static(&[0])));
    assert_eq!(read[&at].state_diff.as_ref().unwrap()[&slot], slot);
    assert_eq!((&read[&at].state, read[&at].move_precompile_to), (&None, None));
    assert_eq!(StateOverride::decode("null").unwrap().len(), 0);
    assert_eq!(StateOverride::decode(&account("null")).unwrap()[&at], AccountOverride::default());
    let field = |found: &str, field: &str, wanted: &str| {
        format!("json: cannot unmarshal {found} into Go struct field {field} of type {wanted}")
    };
    let zero = "hex number with leading zero digits";
    for (json, reason) in [
        (
            "[]".to_owned(),
            "json: cannot unmarshal array into Go value of type override.StateOverride".to_owned(),
        ),
        (
            account("7"),
            "json: cannot unmarshal number into Go value of type override.OverrideAccount"
                .to_owned(),
        ),
        (r#"{"0x12":{}}"#.to_owned(), "hex string has length 2, want 40 for Address".to_owned()),
        (account(r#"{"balance":"0x05"}"#), field(zero, "OverrideAccount.balance", "*hexutil.Big")),
        (account(r#"{"nonce":5}"#), field("non-string", "OverrideAccount.nonce", "hexutil.Uint64")),
        (
            account(r#"{"state":[]}"#),
            field("array", "OverrideAccount.state", "map[common.Hash]common.Hash"),
        ),
        (
            account(r#"{"stateDiff":{"0x12":"0x12"}}"#),
            "hex string has length 2, want 64 for Hash".to_owned(),
        ),
    ] {
        assert_eq!(refused::<StateOverride>(&json), reason, "{json}");
    }
    let block = BlockOverrides::decode(r#"{"TIME":"0x5","random":null,"baseFee":"0x7","x":1}"#);
    let block = block.unwrap();
    assert_eq!((block.time, block.base_fee_per_gas), (Some(U256::from(5)), Some(U256::from(7))));
    assert_eq!((block.prev_randao, block.number), (None, None));
    for (json, reason) in [
        (r#"{"number":1}"#, field("non-string", "BlockOverrides.number", "*hexutil.Big")),
        (
            r#"{"timestamp":"0x1ffffffffffffffff"}"#,
            field("hex number > 64 bits", "BlockOverrides.timestamp", "hexutil.Uint64"),
        ),
        (r#"{"gasLimit":"0x00"}"#, field(zero, "BlockOverrides.gasLimit", "hexutil.Uint64")),
    ] {
        assert_eq!(refused::<BlockOverrides>(json), reason, "{json}");
    }
}

#[test]
fn of_members_that_come_twice_the_last_one_counts() {
    use alloy_rpc_types_eth::{TransactionRequest, state::StateOverride};

    use crate::{message::BlockOverrides, trace::TraceOptions};

    let (at, slot) = (Address::repeat_byte(0xa7), B256::repeat_byte(0xb1));
    let loud = |text: String| text.to_uppercase().replace("0X", "0x");
    let text = format!(
        r#"{{"gas":"0x1","GAS":"0x2","Nonce":"0x3","nonce":"0x4","value":"0x5","VALUE":null,
        "accessList":[{{"address":"{at}","storageKeys":[],"STORAGEKEYS":["{slot}"]}}]}}"#
    );
    let request = TransactionRequest::decode(&text).unwrap();
    assert_eq!((request.gas, request.nonce, request.value), (Some(2), Some(4), None));
    assert_eq!(request.access_list.unwrap().0[0].storage_keys, [slot]);

    let text = format!(
        r#"{{"authorizationList":[{{"chainId":"0x1","chainId":"0x2","address":"{at}","nonce":"0x7",
        "NONCE":"0x8","r":"0x3","R":"0x4","s":"0x5","yParity":"0x0","YPARITY":"0x1"}}]}}"#
    );
    let list = TransactionRequest::decode(&text).unwrap().authorization_list.unwrap();
    let [signed] = &list[..] else { panic!("{list:?}") };
    assert_eq!((signed.chain_id, signed.address, signed.nonce), (U256::from(2), at, 8));
    assert_eq!((signed.r(), signed.s(), signed.y_parity()), (U256::from(4), U256::from(5), 1));

    // Keys of maps are the same key if they are read as the same.
    let text = format!(
        r#"{{"{at}":{{"nonce":"0x1","code":"0x00"}},"{}":{{"Nonce":"0x2","NONCE":"0x3"}}}}"#,
        loud(at.to_string())
    );
    let accounts = StateOverride::decode(&text).unwrap();
    assert_eq!((accounts.len(), accounts[&at].nonce, &accounts[&at].code), (1, Some(3), &None));
    let text = format!(
        r#"{{"{at}":{{"state":{{"{slot}":"{slot}","{}":"{}"}}}}}}"#,
        loud(slot.to_string()),
        B256::ZERO
    );
    let accounts = StateOverride::decode(&text).unwrap();
    assert_eq!(accounts[&at].state.as_ref().unwrap()[&slot], B256::ZERO);
    let text = format!(r#"{{"{at}":["{slot}"],"{}":[]}}"#, loud(at.to_string()));
    assert_eq!(SlotRequest::decode(&text).unwrap().slots, BTreeMap::from([(at, Vec::new())]));

    let text = r#"{"time":"0x1","TIME":"0x2","number":"0x1","number":"0x3"}"#;
    let block = BlockOverrides::decode(text).unwrap();
    assert_eq!((block.time, block.number), (Some(U256::from(2)), Some(U256::from(3))));
    let id = BlockId::decode(r#"{"blockNumber":"0x1","BLOCKNUMBER":"0x2"}"#).unwrap();
    assert_eq!(id, BlockId::number(2));
    let text = r#"{"tracer":"a","Tracer":"b","tracerConfig":{},"tracerConfig":{"x":1}}"#;
    let options = TraceOptions::decode(text).unwrap();
    assert_eq!(options.tracer.as_deref(), Some("b"));
    assert_eq!(options.tracer_config.as_deref(), Some(r#"{"x":1}"#));
}
