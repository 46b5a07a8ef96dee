//! Cases that do not come out as the public tests say, each with its reason.

use crate::tally::Known;

/// A contract is created at an address that has storage, but neither code nor nonce. Such accounts
/// are from before EIP-158, and meeting one takes a collision of hashes (EIP-7610).
const STORAGE_ALONE: &str = "a creation at an address with nothing but storage (EIP-7610)";

/// All coins there are cost less than one such unit of gas: nobody can pay for the transaction.
const PRICE: &str = "a gas price above 2^128 wei does not decode";

/// Folders of state tests that are not run, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("EIPTests/StateTests/stEOF", "EOF did not become part of any fork"),
    (
        "EIPTests/StateTests/stEIP2537",
        "made for a draft of EIP-2537 with other addresses and prices",
    ),
];

pub const STATES: &[Known] = &[
    Known {
        case: "GeneralStateTests/stCreate2/RevertInCreateInInitCreate2",
        count: 1,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "GeneralStateTests/stCreate2/create2collisionStorage",
        count: 3,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "GeneralStateTests/stExtCodeHash/dynamicAccountOverwriteEmpty",
        count: 1,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "GeneralStateTests/stRevertTest/RevertInCreateInInit",
        count: 1,
        reason: STORAGE_ALONE,
    },
    Known { case: "GeneralStateTests/stSStoreTest/InitCollision", count: 4, reason: STORAGE_ALONE },
];

pub const LEGACY_CONSTANTINOPLE: &[Known] = &[
    Known {
        case: "LegacyTests/Constantinople/GeneralStateTests/stCreate2/RevertInCreateInInitCreate2",
        count: 2,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Constantinople/GeneralStateTests/stCreate2/create2collisionStorage",
        count: 3,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Constantinople/GeneralStateTests/stExtCodeHash/dynamicAccountOverwriteEmpty",
        count: 2,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Constantinople/GeneralStateTests/stRevertTest/RevertInCreateInInit",
        count: 1,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Constantinople/GeneralStateTests/stSStoreTest/InitCollision",
        count: 8,
        reason: STORAGE_ALONE,
    },
];

/// Paths with their ending: some names are the beginnings of others.
pub const LEGACY_CANCUN: &[Known] = &[
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stCreate2/RevertInCreateInInitCreate2.json",
        count: 3,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stCreate2/RevertInCreateInInitCreate2Paris.json",
        count: 6,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stCreate2/create2collisionStorage.json",
        count: 9,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stCreate2/create2collisionStorageParis.json",
        count: 18,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stExtCodeHash/dynamicAccountOverwriteEmpty.json",
        count: 3,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stExtCodeHash/dynamicAccountOverwriteEmpty_Paris.json",
        count: 6,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stRevertTest/RevertInCreateInInit.json",
        count: 3,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stRevertTest/RevertInCreateInInit_Paris.json",
        count: 6,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stSStoreTest/InitCollision.json",
        count: 12,
        reason: STORAGE_ALONE,
    },
    Known {
        case: "LegacyTests/Cancun/GeneralStateTests/stSStoreTest/InitCollisionParis.json",
        count: 24,
        reason: STORAGE_ALONE,
    },
];

pub const TRANSACTIONS: &[Known] = &[
    Known {
        case: "TransactionTests/ttEIP1559/GasLimitPriceProductOverflowtMinusOne",
        count: 4,
        reason: PRICE,
    },
    Known {
        case: "TransactionTests/ttGasPrice/TransactionWithHighGasPrice",
        count: 13,
        reason: PRICE,
    },
    Known { case: "TransactionTests/ttVValue/V_equals38", count: 10, reason: PRICE },
];
