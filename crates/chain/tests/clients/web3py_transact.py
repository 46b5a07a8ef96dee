"""web3.py over HTTP: middleware that signs, contracts, filters, reverts, fees, proofs, batches."""

from eth_utils import keccak
from web3 import Web3
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

from world import ALICE, BOB, CHAIN_ID, HTTP, NOBODY, TILL, equal, eventually

w3 = Web3(Web3.HTTPProvider(HTTP))
w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build([ALICE, BOB]), layer=0)
w3.eth.default_account = ALICE.address
assert w3.is_connected()
equal(w3.eth.chain_id, CHAIN_ID)
equal(w3.net.version, str(CHAIN_ID))
assert w3.client_version.startswith("tilth/") or w3.client_version.startswith("anvil/")
equal(w3.eth.syncing, False)


def mined(tx_hash):
    return w3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.02)


def refused(error, act):
    try:
        act()
    except error as found:
        return found
    raise AssertionError("succeeded instead of failing")


# A transfer.
before = w3.eth.get_balance(ALICE.address)
sent = mined(w3.eth.send_transaction({"to": NOBODY, "value": w3.to_wei(3, "ether")}))
equal((sent["status"], sent["gasUsed"], sent["type"]), (1, 21000, 2))
equal(w3.eth.get_balance(NOBODY), w3.to_wei(3, "ether"))
spent = w3.to_wei(3, "ether") + 21000 * sent["effectiveGasPrice"]
equal(w3.eth.get_balance(ALICE.address), before - spent)
equal(w3.eth.get_balance(ALICE.address, sent["blockNumber"] - 1), before)
raw = w3.eth.get_raw_transaction(sent["transactionHash"])
equal(keccak(raw), bytes(sent["transactionHash"]))

# A contract, with its events read back three ways.
factory = w3.eth.contract(abi=TILL["abi"], bytecode=TILL["bytecode"])
till = w3.eth.contract(mined(factory.constructor(1000).transact())["contractAddress"], abi=TILL["abi"])
news = till.events.Moved.create_filter(from_block="latest", argument_filters={"to": BOB.address})
heads = w3.eth.filter("latest")
receipt = mined(till.functions.move(BOB.address, 125, "hay").transact())
equal(till.functions.held(BOB.address).call(), 125)
equal(till.functions.held(BOB.address).call(block_identifier=receipt["blockNumber"] - 1), 0)
(event,) = till.events.Moved().process_receipt(receipt)
equal(dict(event["args"]), {"from": ALICE.address, "to": BOB.address, "amount": 125, "note": "hay"})
(logged,) = till.events.Moved.get_logs(from_block=0, argument_filters={"to": BOB.address})
equal(logged["transactionHash"], receipt["transactionHash"])
(new,) = eventually("the event", news.get_new_entries)
equal(new["args"]["amount"], 125)
equal(news.get_new_entries(), [])
equal([each["args"]["amount"] for each in news.get_all_entries()], [125])
assert receipt["blockHash"] in eventually("the head", heads.get_new_entries)
assert w3.eth.uninstall_filter(heads.filter_id)
equal(int.from_bytes(w3.eth.get_storage_at(till.address, 1)), 1)

# Reverts keep their kinds.
custom = refused(ContractCustomError, lambda: till.functions.move(BOB.address, 5000, "").call())
equal(custom.data[:10], "0x" + keccak(text="NotEnough(address,uint256,uint256)").hex()[:8])
decoded = w3.codec.decode(["address", "uint256", "uint256"], bytes.fromhex(custom.data[10:]))
equal(decoded, (ALICE.address.lower(), 875, 5000))
reason = refused(ContractLogicError, lambda: till.functions.fail(0).call())
assert "the till is closed" in reason.message, reason
refused(ContractPanicError, lambda: till.functions.fail(1).call())
refused(ContractLogicError, lambda: till.functions.fail(2).call())
refused(ContractLogicError, lambda: till.functions.fail(0).estimate_gas())
refused(TransactionNotFound, lambda: w3.eth.get_transaction("0x" + "ab" * 32))
stale = {"to": NOBODY, "nonce": 0, "gas": 21000, "gasPrice": w3.eth.gas_price, "chainId": CHAIN_ID}
signed = ALICE.sign_transaction(stale)
low = refused(Web3RPCError, lambda: w3.eth.send_raw_transaction(signed.raw_transaction))
assert "nonce too low" in low.message, low

# Fees, overrides, access lists, a proof.
history = w3.eth.fee_history(2, "latest", [50])
equal((len(history["baseFeePerGas"]), len(history["reward"])), (3, 2))
assert w3.eth.max_priority_fee >= 0
assert w3.eth.gas_price >= history["baseFeePerGas"][-1]
over = {NOBODY: {"balance": "0x0", "code": "0x4760005260206000f3"}}  # returns its own balance
equal(int.from_bytes(w3.eth.call({"to": NOBODY}, "latest", over)), 0)
build = till.functions.move(BOB.address, 1, "").build_transaction({"nonce": 0, "gas": 1, "gasPrice": 0})
listed = w3.eth.create_access_list({"from": ALICE.address, "to": till.address, "data": build["data"]})
equal(listed["accessList"][0]["address"], till.address)
equal(len(listed["accessList"][0]["storageKeys"]), 3)
block = w3.eth.get_block("latest", full_transactions=True)
proof = w3.eth.get_proof(till.address, ["0x" + "00" * 31 + "01"], block["number"])
equal(keccak(proof["accountProof"][0]), bytes(block["stateRoot"]))
equal(int.from_bytes(proof["storageProof"][0]["value"]), 1)

# Many reads in one request.
with w3.batch_requests() as batch:
    for number in range(block["number"] + 1):
        batch.add(w3.eth.get_block(number))
    batch.add(till.functions.moves())
    *blocks, moves = batch.execute()
equal([each["number"] for each in blocks], list(range(block["number"] + 1)))
equal([each["parentHash"] for each in blocks[1:]], [each["hash"] for each in blocks[:-1]])
equal(moves, 1)

# A delegation (EIP-7702).
authorization = BOB.sign_authorization({"chainId": CHAIN_ID, "address": till.address, "nonce": w3.eth.get_transaction_count(BOB.address)})
fields = {"to": BOB.address, "data": till.encode_abi("move", [NOBODY, 0, ""]), "gas": 300_000, "value": 0}
fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1, "chainId": CHAIN_ID, "type": 4}
nonce = w3.eth.get_transaction_count(ALICE.address)
signed = ALICE.sign_transaction({**fields, **fees, "nonce": nonce, "authorizationList": [authorization]})
delegated = mined(w3.eth.send_raw_transaction(signed.raw_transaction))
equal((delegated["status"], delegated["type"]), (1, 4))
equal(bytes(w3.eth.get_code(BOB.address)), bytes.fromhex("ef0100" + till.address[2:]))
print("web3.py over HTTP: all as expected")
