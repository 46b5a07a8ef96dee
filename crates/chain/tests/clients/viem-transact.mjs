// viem over HTTP: deploy, write, read, receipts, logs, proofs, fees, replacement, delegation (EIP-7702).
import assert from 'node:assert/strict'
import {
  concat, encodeAbiParameters, encodeFunctionData, getAddress, getContract, getContractAddress, keccak256,
  multicall3Abi, pad, parseEther, parseGwei, parseTransaction, recoverTransactionAddress,
} from 'viem'
import { multicall3Bytecode } from './node_modules/viem/_esm/constants/contracts.js'
import { alice, asAlice, asBob, bob, chain, deployTill, reader } from './viem-world.mjs'
import { nobody, refusal, till } from './world.mjs'

assert.equal(await reader.getChainId(), chain.id)
const mined = (hash) => reader.waitForTransactionReceipt({ hash })

// A transfer, to the last wei.
const before = await reader.getBalance({ address: alice.address })
const sent = await mined(await asAlice.sendTransaction({ to: nobody, value: parseEther('1.5') }))
assert.equal(sent.status, 'success')
assert.equal(sent.gasUsed, 21000n)
assert.equal(sent.type, 'eip1559')
assert.equal(await reader.getBalance({ address: nobody }), parseEther('1.5'))
const fee = sent.gasUsed * sent.effectiveGasPrice
assert.equal(await reader.getBalance({ address: alice.address }), before - parseEther('1.5') - fee)

// The raw transaction is what its parts say, and recovers to its sender.
const transaction = await reader.getTransaction({ hash: sent.transactionHash })
assert.equal(transaction.from, alice.address.toLowerCase())
assert.equal(transaction.chainId, chain.id)
const raw = await reader.request({ method: 'eth_getRawTransactionByHash', params: [sent.transactionHash] })
assert.equal(keccak256(raw), sent.transactionHash)
assert.equal(parseTransaction(raw).value, parseEther('1.5'))
assert.equal(await recoverTransactionAddress({ serializedTransaction: raw }), alice.address)

// A contract: deployed, written to, read at two heights.
const deployed = await deployTill()
const nonce = Number(transaction.nonce) + 1
assert.equal(getAddress(deployed.address), getContractAddress({ from: alice.address, nonce: BigInt(nonce) }))
const contract = getContract({ ...deployed, client: { public: reader, wallet: asAlice } })
const moved = await mined(await contract.write.move([bob.address, 300n, 'rent']))
assert.equal(await contract.read.held([bob.address]), 300n)
const earlier = { blockNumber: deployed.receipt.blockNumber }
assert.equal(await contract.read.held([bob.address], earlier), 0n)
assert.equal(await contract.read.OWNER(), alice.address)
assert.equal(await reader.getStorageAt({ address: deployed.address, slot: '0x1' }), `0x${'0'.repeat(63)}1`)
assert.ok((await reader.getCode({ address: deployed.address })).length > 1000)
assert.equal(await reader.getTransactionCount({ address: alice.address }), nonce + 2)

// Its logs, by event, by argument, by block hash.
const from = deployed.receipt.blockNumber
const events = await contract.getEvents.Moved({ to: bob.address }, { fromBlock: from, toBlock: 'latest' })
assert.equal(events.length, 1)
assert.deepEqual(events[0].args, { from: alice.address, to: bob.address, amount: 300n, note: 'rent' })
assert.equal(events[0].transactionHash, moved.transactionHash)
assert.equal(events[0].logIndex, 0)
assert.deepEqual(await contract.getEvents.Moved({ to: nobody }, { fromBlock: from }), [])
const byHash = await reader.getLogs({ blockHash: moved.blockHash })
assert.deepEqual(byHash.map((log) => log.address), [deployed.address])

// A block with its transactions; its receipts.
const block = await reader.getBlock({ blockHash: moved.blockHash, includeTransactions: true })
assert.equal(block.transactions.length, 1)
assert.equal(block.transactions[0].hash, moved.transactionHash)
assert.equal(block.gasUsed, moved.gasUsed)
assert.equal(await reader.getBlockTransactionCount({ blockHash: moved.blockHash }), 1)
const receipts = await reader.getBlockReceipts({ blockNumber: moved.blockNumber })
assert.equal(receipts[0].transactionHash, moved.transactionHash)
assert.equal(receipts[0].logs.length, 1)

// A proof hangs together from the state root of the block to the value.
const slot = keccak256(encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [bob.address, 0n]))
const proof = await reader.getProof({
  address: deployed.address, storageKeys: [slot, pad('0x5')], blockNumber: moved.blockNumber,
})
assert.equal(keccak256(proof.accountProof[0]), block.stateRoot)
assert.equal(keccak256(proof.storageProof[0].proof[0]), proof.storageHash)
assert.equal(proof.storageProof[0].value, 300n)
assert.equal(proof.storageProof[1].value, 0n)
assert.equal(proof.nonce, 1)
assert.equal(keccak256(await reader.getCode({ address: deployed.address })), proof.codeHash)

// Fees: history, estimates, a legacy and an access list transaction.
const history = await reader.getFeeHistory({ blockCount: 3, rewardPercentiles: [10, 90] })
assert.equal(history.baseFeePerGas.length, 4)
assert.equal(history.reward.length, 3)
assert.ok(history.gasUsedRatio.every((ratio) => ratio > 0 && ratio < 1))
const fees = await reader.estimateFeesPerGas()
assert.ok(fees.maxFeePerGas >= history.baseFeePerGas[3])
assert.ok((await reader.getGasPrice()) >= history.baseFeePerGas[3])
const old = await mined(await asAlice.sendTransaction({ to: nobody, value: 1n, type: 'legacy' }))
assert.equal(old.type, 'legacy')
const accessList = [{ address: deployed.address, storageKeys: [slot] }]
const listed = await mined(await asAlice.sendTransaction({ to: nobody, value: 1n, type: 'eip2930', accessList }))
assert.equal(listed.type, 'eip2930')
assert.equal(listed.gasUsed, 21000n + 2400n + 1900n)

// Several reads at once through multicall3.
const multicallAddress = (await mined(await asAlice.deployContract({
  abi: multicall3Abi, bytecode: multicall3Bytecode,
}))).contractAddress
const contracts = [
  { ...deployed, functionName: 'held', args: [alice.address] },
  { ...deployed, functionName: 'fail', args: [0n] },
  { ...deployed, functionName: 'moves' },
]
for (const how of [{ multicallAddress }, { deployless: true }]) {
  const [held, failed, moves] = await reader.multicall({ contracts, ...how })
  assert.deepEqual(held, { status: 'success', result: 700n })
  assert.match(failed.error.message, /the till is closed/)
  assert.equal(moves.result, 1n)
}

// The node's refusals are the ones viem has names for.
const low = await refusal(asAlice.sendTransaction({ to: nobody, value: 1n, nonce: 0 }))
assert.equal(low.walk((error) => error.name === 'NonceTooLowError')?.name, 'NonceTooLowError')
const poor = await refusal(asBob.sendTransaction({ to: nobody, value: parseEther('1000000') }))
assert.ok(poor.walk((error) => error.name === 'InsufficientFundsError'), String(poor))
const tip = { maxFeePerGas: 10n, maxPriorityFeePerGas: 1n, gas: 21000n }
const cheap = await refusal(reader.call({ account: alice, to: nobody, ...tip }))
assert.ok(cheap.walk((error) => error.name === 'FeeCapTooLowError'), String(cheap))

// An account acts by the till's code after it has signed so; then it takes that back.
const start = await reader.getTransactionCount({ address: bob.address })
const authorization = await asBob.signAuthorization({ contractAddress: deployed.address })
assert.equal(authorization.nonce, start)
const data = encodeFunctionData({ ...till, functionName: 'move', args: [nobody, 0n, 'by proxy'] })
const delegated = await mined(await asAlice.sendTransaction({
  to: bob.address, data, authorizationList: [authorization],
}))
assert.equal(delegated.type, 'eip7702')
assert.equal(delegated.status, 'success')
assert.equal(delegated.logs[0].address, bob.address.toLowerCase())
assert.equal(await reader.getCode({ address: bob.address }), concat(['0xef0100', deployed.address]).toLowerCase())
assert.equal(getAddress(await reader.getDelegation({ address: bob.address })), getAddress(deployed.address))
const back = await asBob.signAuthorization({
  contractAddress: '0x0000000000000000000000000000000000000000', executor: 'self',
})
const undone = await mined(await asBob.sendTransaction({ to: bob.address, authorizationList: [back] }))
assert.equal(undone.status, 'success')
assert.equal(await reader.getCode({ address: bob.address }), undefined)
assert.equal(await reader.getTransactionCount({ address: bob.address }), start + 3)

// A message signed with viem verifies through the node's eth_call.
const signature = await alice.signMessage({ message: 'hay' })
assert.ok(await reader.verifyMessage({ address: alice.address, message: 'hay', signature }))
assert.ok(!(await reader.verifyMessage({ address: bob.address, message: 'hay', signature })))
assert.ok(fees.maxPriorityFeePerGas < parseGwei('100'))
console.log('viem over HTTP: all as expected')
