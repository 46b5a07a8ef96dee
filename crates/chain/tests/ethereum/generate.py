"""Makes the state tests in ../fixtures/execution-specs: random programs and transactions, executed
by Ethereum's executable specification under every fork.

    pip install ethereum-execution==2.20.0
    python3 generate.py SEED TESTS FILE.jsonl.gz

The same arguments give the same file. One line has `path` and `tests`; the tests have the format of
GeneralStateTests in github.com/ethereum/tests. The specification is in the public domain (CC0 1.0);
nothing of it is in the file but what it computes.
"""

import gzip
import json
import logging
import random
import sys
from copy import deepcopy
from io import StringIO

from ethereum.crypto.hash import keccak256
from ethereum_rlp import rlp
from ethereum_spec_tools.evm_tools import create_parser
from ethereum_spec_tools.evm_tools.t8n import T8N, ForkCache
from ethereum_spec_tools.evm_tools.utils import secp256k1_sign

FORKS = [
    "Frontier", "Homestead", "EIP150", "EIP158", "Byzantium", "ConstantinopleFix", "Istanbul",
    "Berlin", "London", "Paris", "Shanghai", "Cancun", "Prague", "Osaka",
]
# The first fork that knows a type of transaction.
TYPE_SINCE = {0: "Frontier", 1: "Berlin", 2: "London", 3: "Cancun", 4: "Prague"}
NUMBER = 7
BASE_FEE = 10
KEYS = [bytes([0] * 31 + [n]) for n in (1, 2, 3)]
# Their addresses, which the specification derives again from each signature.
SENDERS = [
    "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf",
    "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf",
    "0x6813eb9362372eef6200f3b1dbc3f819671cba69",
]
CONTRACTS = [f"0x{n:040x}" for n in (0xC0DE1, 0xC0DE2, 0xC0DE3, 0xC0DE4)]
COINBASE = "0x2adc25665018aa1fe0e6bc666dac8fc2697ff9ba"
NOBODY = "0x00000000000000000000000000000000000a11ce"
# Precompiles but for pairings and point evaluation, which take the specification minutes.
PRECOMPILES = [1, 2, 3, 4, 5, 6, 7, 9, 0xB, 0xD, 0x10, 0x11, 0x12, 0x100]

PARSER = create_parser()
logging.disable(logging.CRITICAL)


class Program:
    """Random code that mostly means something."""

    def __init__(self, dice):
        self.dice = dice
        self.code = bytearray()

    def op(self, *ops):
        self.code.extend(ops)

    def push(self, value):
        size = max(1, (value.bit_length() + 7) // 8)
        self.op(0x5F + size)
        self.code.extend(value.to_bytes(size, "big"))

    def value(self):
        dice = self.dice
        return dice.choice([
            lambda: dice.randrange(4), lambda: dice.randrange(256), lambda: dice.getrandbits(256),
            lambda: 1 << dice.randrange(256), lambda: 2**256 - 1 - dice.randrange(3),
            lambda: dice.getrandbits(64), lambda: int(dice.choice(CONTRACTS + SENDERS), 16),
        ])()

    def offset(self):
        dice = self.dice
        roll = dice.random()
        return dice.randrange(200) if roll < 0.96 else dice.choice([1 << 16, 1 << 20, 1 << 40, 2**256 - 1])

    def address(self):
        dice = self.dice
        roll = dice.random()
        if roll < 0.5:
            self.push(int(dice.choice(CONTRACTS), 16))
        elif roll < 0.65:
            self.push(dice.choice(PRECOMPILES))
        elif roll < 0.75:
            self.op(0x30)
        elif roll < 0.8:
            self.op(0x33)
        else:
            self.push(int(dice.choice(SENDERS + [COINBASE, NOBODY]), 16))

    def arithmetic(self):
        op = self.dice.choice([*range(0x01, 0x0C), *range(0x10, 0x1F), 0x1B, 0x1C, 0x1D])
        for _ in range(3 if op in (0x08, 0x09) else 1 if op in (0x15, 0x19, 0x1E) else 2):
            self.push(self.value())
        self.op(op)
        self.keep()

    def keep(self):
        """Does something with the value on top of the stack."""
        roll = self.dice.random()
        if roll < 0.4:
            self.push(self.dice.randrange(4))
            self.op(0x55)
        elif roll < 0.8:
            self.push(self.offset())
            self.op(self.dice.choice([0x52, 0x52, 0x53]))
        else:
            self.op(0x50)

    def storage(self):
        dice = self.dice
        roll = dice.random()
        if roll < 0.6:
            self.push(dice.randrange(3))
            self.push(dice.randrange(4))
            self.op(0x55)
        elif roll < 0.8:
            self.push(dice.randrange(5))
            self.op(0x54)
            self.keep()
        elif roll < 0.9:
            self.push(dice.randrange(3))
            self.push(dice.randrange(3))
            self.op(0x5D)
        else:
            self.push(dice.randrange(3))
            self.op(0x5C)
            self.keep()

    def environment(self):
        dice = self.dice
        plain = [0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x49), 0x4A, 0x58, 0x59, 0x5A, 0x5F]
        roll = dice.random()
        if roll < 0.5:
            self.op(dice.choice(plain))
            self.keep()
        elif roll < 0.7:
            self.address()
            self.op(dice.choice([0x31, 0x3B, 0x3F]))
            self.keep()
        elif roll < 0.85:
            self.push(dice.choice([dice.randrange(10), self.value()]))
            self.op(dice.choice([0x35, 0x40, 0x49, 0x51]))
            self.keep()
        else:
            copy = dice.choice([0x37, 0x39, 0x3C, 0x3E, 0x5E, 0x20])
            self.push(dice.choice([0, dice.randrange(64)]))
            self.push(dice.choice([0, self.offset()]))
            if copy != 0x20:
                self.push(self.offset())
            if copy == 0x3C:
                self.address()
            self.op(copy)
            if copy == 0x20:
                self.keep()

    def logs(self):
        topics = self.dice.randrange(5)
        for _ in range(topics):
            self.push(self.value())
        self.push(self.dice.randrange(70))
        self.push(self.offset())
        self.op(0xA0 + topics)

    def call(self):
        dice = self.dice
        op = dice.choice([0xF1, 0xF1, 0xF2, 0xF4, 0xFA])
        self.push(dice.choice([0, 32, 64]))
        self.push(dice.randrange(64))
        self.push(dice.choice([0, 0, 32, 96, 128, 160, 192, 213, 256]))
        self.push(dice.randrange(64))
        if op in (0xF1, 0xF2):
            self.push(dice.choice([0, 0, 0, 1, 5, 10**30]))
        self.address()
        if dice.random() < 0.3:
            self.op(0x5A)
        else:
            self.push(dice.choice([0, 100, 2300, 9000, 30000, 60000, 2**256 - 1]))
        self.op(op)
        self.keep()

    def create(self):
        dice = self.dice
        init = Program(dice)
        for _ in range(dice.randrange(3)):
            dice.choice([init.storage, init.arithmetic, init.environment, init.logs])()
        roll = dice.random()
        if roll < 0.5:
            # Returns some bytes of memory as code, now and then with a first byte that is not allowed.
            init.push(dice.choice([0x00, 0x60FF, 0x5B, 0xEF00, 0x33FF, 0xFE]))
            init.push(0)
            init.op(0x52)
            init.push(dice.choice([0, 1, 2, 2, 40, 24576, 24577]))
            init.push(dice.choice([30, 31, 0]))
            init.op(0xF3)
        elif roll < 0.7:
            init.push(0)
            init.push(0)
            init.op(0xFD)
        elif roll < 0.8:
            init.op(0x33, 0xFF)
        code = bytes(init.code)
        for start in range(0, len(code), 32):
            self.push(int.from_bytes(code[start:start + 32].ljust(32, b"\0"), "big"))
            self.push(start)
            self.op(0x52)
        two = dice.random() < 0.5
        if two:
            self.push(dice.randrange(2))
        self.push(dice.choice([len(code)] * 12 + [49152, 49153]))
        self.push(0)
        self.push(dice.choice([0, 0, 0, 1]))
        self.op(0xF5 if two else 0xF0)
        if dice.random() < 0.4:
            # Calls what was created.
            self.op(0x80)
            for _ in range(4):
                self.push(0)
            self.push(0)
            self.op(0x85, 0x5A, 0xF1, 0x50)
        self.keep()

    def loop(self):
        """A few rounds of something short."""
        self.push(self.dice.randrange(1, 6))
        start = len(self.code)
        self.op(0x5B)
        self.dice.choice([self.storage, self.arithmetic, self.logs])()
        self.push(1)
        self.op(0x90, 0x03, 0x80)
        self.op(0x61, *start.to_bytes(2, "big"), 0x57, 0x50)

    def odd(self):
        """Any byte at all, or a jump to anywhere."""
        dice = self.dice
        roll = dice.random()
        if roll < 0.4:
            self.op(dice.randrange(256))
        elif roll < 0.6:
            self.push(dice.randrange(300))
            self.op(0x56)
        elif roll < 0.8:
            self.push(self.value())
            self.op(0x1E)
            self.keep()
        else:
            for _ in range(dice.randrange(1, 17)):
                self.push(dice.randrange(99))
            self.op(dice.choice([0x80, 0x90]) + dice.randrange(16))
            self.keep()

    def end(self):
        dice = self.dice
        roll = dice.random()
        if roll < 0.4:
            self.push(dice.choice([0, 32, 64]))
            self.push(dice.randrange(64))
            self.op(dice.choice([0xF3, 0xF3, 0xFD]))
        elif roll < 0.55:
            self.address()
            self.op(0xFF)
        elif roll < 0.6:
            self.op(0xFE)
        else:
            self.op(0x00)

    def fill(self, statements):
        kinds = [
            (self.arithmetic, 18), (self.storage, 22), (self.environment, 18), (self.logs, 7),
            (self.call, 20), (self.create, 8), (self.loop, 4), (self.odd, 3),
        ]
        steps = self.dice.choices([k for k, _ in kinds], [w for _, w in kinds], k=statements)
        for step in steps:
            step()
        self.end()
        return bytes(self.code)


def authorization(dice):
    """Lets an account run a contract's code (EIP-7702); now and then not valid."""
    key = dice.choice(KEYS)
    chain, nonce = dice.choice([0, 1, 1, 2]), dice.choice([0, 0, 0, 1, 2])
    target = bytes.fromhex(dice.choice(CONTRACTS + ["0x" + "00" * 20] + SENDERS[1:2])[2:])
    digest = keccak256(b"\x05" + rlp.encode([
        chain.to_bytes(1, "big").lstrip(b"\0"), target, nonce.to_bytes(1, "big").lstrip(b"\0"),
    ]))
    r, s, y = secp256k1_sign(digest, int.from_bytes(key, "big"))
    return {
        "chainId": hex(chain), "nonce": hex(nonce), "address": "0x" + target.hex(),
        "v": hex(dice.choice([int(y)] * 9 + [7])), "r": hex(r), "s": hex(s),
    }


def transaction(dice):
    kind = dice.choices([0, 1, 2, 3, 4], [10, 3, 4, 2, 4])[0]
    create = dice.random() < 0.12 and kind < 3
    key = dice.choice(KEYS[:2])
    data = bytes(dice.choice([0, 0, dice.randrange(256)]) for _ in range(dice.choice([0, 4, 36, 100, 400])))
    if create:
        data = Program(dice).fill(dice.randrange(1, 6))
    tx = {
        "nonce": hex(dice.choice([0] * 60 + [1, 2**64 - 1])),
        "gas": hex(dice.choices(
            [21000, 25000, 60000, 200000, 500000, 1500000, 17000000, 31000000],
            [1, 1, 3, 15, 30, 30, 1, 0.3],
        )[0]),
        "value": hex(dice.choice([0, 0, 0, 1, 10**9, 10**18] * 10 + [10**25])),
        "input": "0x" + data.hex(),
        "secretKey": "0x" + key.hex(),
        "to": "" if create else dice.choice(CONTRACTS * 6 + SENDERS + [COINBASE, NOBODY] + ["0x%040x" % n for n in (2, 4, 6)]),
    }
    if kind in (0, 1):
        tx["gasPrice"] = hex(dice.choice([10, 11, 12, 1000] * 8 + [9, 0]))
    else:
        fee = dice.choice([10, 11, 50, 50] * 8 + [9])
        tx["maxFeePerGas"] = hex(fee)
        tx["maxPriorityFeePerGas"] = hex(dice.choice([0, 1, 5, fee] * 8 + [fee + 1]))
    if kind in (1, 2, 3, 4) and dice.random() < 0.8:
        entries = dice.randrange(4)
        tx["accessList"] = [
            {
                "address": dice.choice(CONTRACTS + SENDERS + [NOBODY]),
                "storageKeys": ["0x%064x" % dice.randrange(4) for _ in range(dice.randrange(4))],
            }
            for _ in range(entries)
        ]
    elif kind:
        tx["accessList"] = []
    if kind == 3:
        tx["maxFeePerBlobGas"] = hex(dice.choice([100, 10**9] * 6 + [1, 0]))
        count = dice.choice([1, 1, 2, 3, 5, 6] * 4 + [7, 10, 0])
        hashes = [("0x01%062x" % dice.getrandbits(200)) for _ in range(count)]
        if dice.random() < 0.05 and hashes:
            hashes[0] = "0x02" + hashes[0][4:]
        tx["blobVersionedHashes"] = hashes
    if kind == 4:
        tx["authorizationList"] = [authorization(dice) for _ in range(dice.choice([1, 1, 2, 3] * 6 + [0]))]
    return kind, tx


def accounts(dice):
    pre = {}
    for address in CONTRACTS:
        pre[address] = {
            "balance": hex(dice.choice([0, 5, 10**18])),
            "code": "0x" + Program(dice).fill(dice.randrange(2, 14)).hex(),
            "nonce": hex(dice.choice([0, 1, 1])),
            "storage": {hex(k): hex(dice.randrange(1, 4)) for k in range(5) if dice.random() < 0.5},
        }
    for address in SENDERS:
        pre[address] = {"balance": hex(dice.choice([10**24] * 30 + [10**6])), "code": "0x", "nonce": "0x0", "storage": {}}
    if dice.random() < 0.1:
        # An account that already runs another's code.
        pre[SENDERS[1]]["code"] = "0xef0100" + dice.choice(CONTRACTS)[2:]
    if dice.random() < 0.5:
        pre[COINBASE] = {"balance": "0x1", "code": "0x", "nonce": "0x0", "storage": {}}
    return pre


def environment(dice):
    return {
        "currentCoinbase": COINBASE,
        "currentDifficulty": "0x20000",
        "currentRandom": "0x" + "00" * 29 + "020000",
        "currentGasLimit": hex(30_000_000),
        "currentNumber": hex(NUMBER),
        "currentTimestamp": hex(1000),
        "currentBaseFee": hex(BASE_FEE),
        "currentExcessBlobGas": hex(dice.choice([0, 0, 0xA0000, 60 << 20])),
    }


def execute(cache, fork, pre, env, kind=0, tx=None):
    """State root, hash of logs, the transaction's bytes, and why it was refused if it was."""
    env = deepcopy(env)
    env["blockHashes"] = {hex(n): "0x" + keccak256(str(n).encode()).hex() for n in range(NUMBER)}
    env["withdrawals"] = []
    given = {"env": env, "alloc": deepcopy(pre), "txs": [deepcopy(tx)] if tx else []}
    options = PARSER.parse_args([
        "t8n", "--input.alloc", "stdin", "--input.env", "stdin", "--input.txs", "stdin",
        "--state.fork", fork, "--state-test",
    ])
    t8n = T8N(options, StringIO(), StringIO(json.dumps(given)), cache)
    t8n.run_state_test()
    sent = t8n.txs.all_txs[0] if t8n.txs.all_txs else None
    if sent is not None:
        sent = (bytes([kind]) if kind else b"") + rlp.encode(sent)
    refused = t8n.txs.rejected_txs.get(0)
    return t8n.result.state_root, t8n.result.logs_hash, sent, refused


def outcomes(cache, pre, env, kind, tx, forks):
    since = FORKS.index(TYPE_SINCE[kind])
    late = execute(cache, FORKS[since], pre, env, kind, tx)[2] if kind else None
    post = {}
    for fork in forks:
        if FORKS.index(fork) < since:
            root, logs, sent, refused = (*execute(cache, fork, pre, env)[:2], late, "type not known")
        else:
            root, logs, sent, refused = execute(cache, fork, pre, env, kind, tx)
        if sent is None:
            raise ValueError(f"{fork}: {refused}")
        outcome = {
            "hash": "0x" + root.hex(), "logs": "0x" + logs.hex(),
            "indexes": {"data": 0, "gas": 0, "value": 0}, "txbytes": "0x" + sent.hex(),
        }
        if refused:
            outcome["expectException"] = refused
        post[fork] = [outcome]
    return post


def some_forks(dice, kind):
    """The latest two, and some others; hardly ever one that does not know the type."""
    since = FORKS.index(TYPE_SINCE[kind])
    others = FORKS[since:-2]
    chosen = FORKS[-2:] + dice.sample(others, min(4, len(others)))
    if since and dice.random() < 0.1:
        chosen.append(dice.choice(FORKS[:since]))
    return sorted(set(chosen), key=FORKS.index)


def main():
    seed, tests, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    lines, counts = [], {}
    with ForkCache() as cache:
        for number in range(tests):
            dice = random.Random(f"{seed} {number}")
            pre, env = accounts(dice), environment(dice)
            kind, tx = transaction(dice)
            forks = some_forks(dice, kind)
            if pre[SENDERS[1]]["code"] != "0x":
                # Code that no chain can have before delegations exist.
                forks = [fork for fork in forks if FORKS.index(fork) >= FORKS.index("Prague")]
            post = outcomes(cache, pre, env, kind, tx, forks)
            for fork, (outcome,) in post.items():
                refused = "refused" if "expectException" in outcome else "executed"
                counts[fork, refused] = counts.get((fork, refused), 0) + 1
            template = {
                "data": [tx["input"]], "gasLimit": [tx["gas"]], "value": [tx["value"]],
                "nonce": tx["nonce"], "to": tx["to"], "gasPrice": tx.get("gasPrice"),
                "secretKey": tx["secretKey"],
            }
            test = {"env": env, "pre": pre, "transaction": template, "post": post}
            lines.append(json.dumps({"path": f"random/{seed}", "tests": {str(number): test}}, separators=(",", ":")))
    # Without a name and a time in the file, the same tests give the same bytes.
    with open(file, "wb") as out, gzip.GzipFile("", "wb", 9, out, 0) as packed:
        packed.write(("\n".join(lines) + "\n").encode())
    print(dict(sorted(counts.items())), file=sys.stderr)


if __name__ == "__main__":
    main()
