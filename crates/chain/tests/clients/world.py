"""What every script of web3.py works with: the node's address, keys that own coins, the contract."""

import json
import os
import pathlib
import time

from eth_account import Account

HTTP = os.environ["HTTP"]
WS = os.environ["WS"]
CHAIN_ID = int(os.environ["CHAIN_ID"])
ALICE, BOB = (Account.from_key(key) for key in os.environ["KEYS"].split(",")[:2])
TILL = json.loads((pathlib.Path(__file__).parent / "till.json").read_text())
NOBODY = "0x000000000000000000000000000000000000bEEF"


def eventually(what, ready, seconds=30):
    """Waits until `ready` gives something true; a wait that takes too long is a failure."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.02)
    return found


def equal(found, wanted):
    """Fails with both values."""
    assert found == wanted, f"{found!r} instead of {wanted!r}"
