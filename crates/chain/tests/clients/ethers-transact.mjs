// ethers 6 over HTTP: deploy, call, static call, decoded errors, fees, filters, a nonce manager, batches.
import assert from 'node:assert/strict'
import { Contract, ContractFactory, JsonRpcProvider, NonceManager, Transaction, Wallet, keccak256, parseEther, toBeHex } from 'ethers'
import { chainId, http, keys, nobody, refusal, till } from './world.mjs'

const provider = new JsonRpcProvider(http, undefined, { polling: true, pollingInterval: 20, cacheTimeout: -1 })
assert.equal((await provider.getNetwork()).chainId, BigInt(chainId))
const [alice, bob] = keys.map((key) => new Wallet(key, provider))

// A transfer.
const before = await provider.getBalance(alice)
const sent = await (await alice.sendTransaction({ to: nobody, value: parseEther('2') })).wait()
assert.equal(sent.status, 1)
assert.equal(sent.fee, 21000n * sent.gasPrice)
assert.equal(await provider.getBalance(nobody), parseEther('2'))
assert.equal(await provider.getBalance(alice), before - parseEther('2') - sent.fee)
assert.equal(await provider.getBalance(alice, sent.blockNumber - 1), before)
const transaction = await provider.getTransaction(sent.hash)
assert.equal(Transaction.from(transaction).from, alice.address)
assert.equal(Transaction.from(transaction).hash, sent.hash)
const block = await provider.getBlock(sent.blockNumber, true)
assert.equal(block.prefetchedTransactions[0].hash, sent.hash)
assert.equal(block.hash, sent.blockHash)

// A contract.
const factory = new ContractFactory(till.abi, till.bytecode, alice)
const contract = await (await factory.deploy(1000, { value: 3 })).waitForDeployment()
const address = await contract.getAddress()
assert.equal(await provider.getBalance(address), 3n)
assert.equal(await contract.held(alice), 1000n)
assert.equal(await contract.move.staticCall(bob, 400, 'dry'), 600n)
assert.equal(await contract.held(bob), 0n)
const gas = await contract.move.estimateGas(bob, 400, 'wages')
const receipt = await (await contract.move(bob, 400, 'wages')).wait()
assert.ok(receipt.gasUsed <= gas)
assert.equal(receipt.logs[0].fragment.name, 'Moved')
assert.deepEqual(receipt.logs[0].args.toArray(), [alice.address, bob.address, 400n, 'wages'])
const found = await contract.queryFilter(contract.filters.Moved(null, bob), 0, 'latest')
assert.deepEqual(found.map((log) => log.transactionHash), [receipt.hash])
assert.deepEqual(await contract.queryFilter(contract.filters.Moved(bob), 0), [])
assert.equal(BigInt(await provider.getStorage(address, 1)), 1n)

// Errors come apart into name and arguments.
const custom = await refusal(contract.connect(bob).move.staticCall(alice, 5000, ''))
assert.equal(custom.code, 'CALL_EXCEPTION')
assert.equal(custom.revert.name, 'NotEnough')
assert.deepEqual(custom.revert.args.toArray(), [bob.address, 400n, 5000n])
const estimated = await refusal(contract.connect(bob).move(alice, 5000, ''))
assert.equal(estimated.action, 'estimateGas')
assert.equal(contract.interface.parseError(estimated.data).name, 'NotEnough')
const reason = await refusal(contract.fail(0))
assert.equal(reason.reason, 'the till is closed')
const panic = await refusal(contract.fail(1))
assert.equal(panic.revert.name, 'Panic')
assert.equal(Number(panic.revert.args[0]), 18)
const bare = await refusal(contract.fail(2))
assert.equal(bare.code, 'CALL_EXCEPTION')
assert.equal(bare.data, '0x')
const failed = await refusal((await contract.move(bob, 5000, '', { gasLimit: 100_000 })).wait())
assert.equal(failed.code, 'CALL_EXCEPTION')
assert.equal(failed.receipt.status, 0)
const low = await refusal(alice.sendTransaction({ to: nobody, nonce: 0, gasLimit: 21000 }))
assert.equal(low.code, 'NONCE_EXPIRED')
const poor = await refusal(bob.sendTransaction({ to: nobody, value: parseEther('999999') }))
assert.equal(poor.code, 'INSUFFICIENT_FUNDS')

// Fees.
const fees = await provider.getFeeData()
const head = await provider.getBlock('latest')
assert.equal(fees.maxFeePerGas, head.baseFeePerGas * 2n + fees.maxPriorityFeePerGas)
assert.ok(fees.gasPrice >= head.baseFeePerGas)

// Ten at once with counted nonces, each in its order; the provider sends its reads in batches.
const counted = new NonceManager(alice)
const many = await Promise.all(Array.from({ length: 10 }, (_, i) => counted.sendTransaction({ to: nobody, value: i })))
const mined = await Promise.all(many.map((each) => each.wait()))
assert.deepEqual(mined.map((each) => each.status), Array(10).fill(1))
const reads = await Promise.all(mined.map((each) => provider.getTransactionReceipt(each.hash)))
assert.deepEqual(reads.map((each) => each.hash), many.map((each) => each.hash))

// Polled events through filters of the node.
const heard = new Promise((hear) => contract.once('Moved', (from, to, amount) => hear([from, to, amount])))
while ((await provider.listenerCount()) + (await contract.listenerCount()) === 0) await new Promise(setImmediate)
await (await contract.move(nobody, 9, 'heard')).wait()
assert.deepEqual(await heard, [alice.address, '0x000000000000000000000000000000000000bEEF', 9n])

// A proof through the raw door.
const proof = await provider.send('eth_getProof', [address, [toBeHex(1, 32)], 'latest'])
const root = (await provider.getBlock('latest')).stateRoot
assert.equal(keccak256(proof.accountProof[0]), root)
assert.equal(BigInt(proof.storageProof[0].value), await contract.moves())

// An access list transaction, and one that delegates an account (EIP-7702).
const listed = await (await alice.sendTransaction({
  to: nobody, type: 1, accessList: [{ address, storageKeys: [] }],
})).wait()
assert.equal(listed.type, 1)
const authorization = await bob.authorize({ address })
const delegated = await (await alice.sendTransaction({
  type: 4, to: bob, data: contract.interface.encodeFunctionData('move', [nobody, 0, '']),
  authorizationList: [authorization],
})).wait()
assert.equal(delegated.status, 1)
assert.equal(await provider.getCode(bob), `0xef0100${address.slice(2).toLowerCase()}`)
provider.destroy()
console.log('ethers over HTTP: all as expected')
