// viem's dry runs: reverts with their reasons, estimates, overrides, access lists, eth_simulateV1.
import assert from 'node:assert/strict'
import { BaseError, ContractFunctionRevertedError, encodeAbiParameters, encodeFunctionData, keccak256, pad, toHex } from 'viem'
import { alice, asAlice, bob, deployTill, reader } from './viem-world.mjs'
import { nobody, refusal } from './world.mjs'

const deployed = await deployTill()
const call = (functionName, args, account = alice) => ({ ...deployed, functionName, args, account })
const reverted = async (promise) => {
  const error = await refusal(promise)
  assert.ok(error instanceof BaseError, String(error))
  const cause = error.walk((found) => found instanceof ContractFunctionRevertedError)
  assert.ok(cause, String(error))
  return cause
}

// What a write would give, then the write itself from the same request.
const { request, result } = await reader.simulateContract(call('move', [bob.address, 250n, 'dry']))
assert.equal(result, 750n)
const estimate = await reader.estimateContractGas(call('move', [bob.address, 250n, 'dry']))
const receipt = await reader.waitForTransactionReceipt({ hash: await asAlice.writeContract(request) })
assert.ok(receipt.gasUsed <= estimate && estimate < receipt.gasUsed * 2n, `${estimate} for ${receipt.gasUsed}`)

// Each way to fail arrives as what it is.
const custom = await reverted(reader.simulateContract(call('move', [alice.address, 5000n, ''], bob)))
assert.equal(custom.data.errorName, 'NotEnough')
assert.deepEqual(custom.data.args, [bob.address, 250n, 5000n])
const reason = await reverted(reader.readContract(call('fail', [0n])))
assert.equal(reason.reason, 'the till is closed')
const panic = await reverted(reader.readContract(call('fail', [1n])))
assert.equal(panic.data.errorName, 'Panic')
assert.deepEqual(panic.data.args, [18n])
const bare = await reverted(reader.readContract(call('fail', [2n])))
assert.equal(bare.data, undefined)
const gas = await refusal(reader.readContract(call('fail', [3n])))
assert.match(gas.message, /out ?of ?gas/i)
const estimated = await reverted(reader.estimateContractGas(call('move', [bob.address, 5000n, ''])))
assert.equal(estimated.data.errorName, 'NotEnough')

// A state that is not: another balance, another slot, another code.
const keyOf = (who) => keccak256(encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [who, 0n]))
const slot = keyOf(nobody)
const stateOverride = [{ address: deployed.address, stateDiff: [{ slot, value: pad(toHex(77n)) }] }]
assert.equal(await reader.readContract({ ...call('held', [nobody]), stateOverride }), 77n)
assert.equal(await reader.readContract(call('held', [nobody])), 0n)
const poor = '0x00000000000000000000000000000000000000dd'
const rich = await reader.estimateGas({
  account: poor, to: nobody, value: 10n ** 18n, stateOverride: [{ address: poor, balance: 10n ** 20n }],
})
assert.equal(rich, 21000n)
const code = '0x602a60005260206000f3' // returns 42
const answer = await reader.call({ to: nobody, stateOverride: [{ address: nobody, code }] })
assert.equal(BigInt(answer.data), 42n)
const blockOverrides = { number: 1234n, time: 99_999_999_999n }
const sum = [{ address: nobody, code: '0x43420160005260206000f3' }] // NUMBER + TIMESTAMP
const clock = await reader.call({ to: nobody, stateOverride: sum, blockOverrides })
assert.equal(BigInt(clock.data), 1234n + 99_999_999_999n)

// The access list of a call names the slots it touches.
const move = encodeFunctionData({ ...deployed, functionName: 'move', args: [nobody, 1n, 'listed'] })
const { accessList, gasUsed } = await reader.createAccessList({ account: alice, to: deployed.address, data: move })
assert.equal(accessList.length, 1)
assert.equal(accessList[0].address, deployed.address)
assert.deepEqual([...accessList[0].storageKeys].sort(), [slot, keyOf(alice.address), pad('0x1')].sort())
assert.ok(gasUsed > 21000n)

// Blocks that are not made: later calls see what earlier ones did.
const simulated = await reader.simulateCalls({
  account: alice,
  calls: [
    { to: deployed.address, abi: deployed.abi, functionName: 'move', args: [nobody, 50n, 'what if'] },
    { to: deployed.address, abi: deployed.abi, functionName: 'held', args: [nobody] },
    { to: deployed.address, abi: deployed.abi, functionName: 'move', args: [nobody, 5000n, 'too much'] },
    { to: nobody, value: 9n },
  ],
})
assert.deepEqual(simulated.results.map((each) => each.status), ['success', 'success', 'failure', 'success'])
assert.equal(simulated.results[0].result, 700n)
assert.equal(simulated.results[1].result, 50n)
assert.match(simulated.results[2].error.message, /NotEnough/)
assert.equal(simulated.results[0].logs.length, 1)
const [first, second] = await reader.simulateBlocks({
  blocks: [
    { blockOverrides: { baseFeePerGas: 7n }, calls: [{ account: alice, to: nobody, value: 1n }] },
    { calls: [{ account: alice, to: nobody, value: 2n }] },
  ],
})
assert.equal(second.number, first.number + 1n)
assert.equal(second.parentHash, first.hash)
assert.equal(first.calls[0].gasUsed, 21000n)
assert.equal(await reader.getBalance({ address: nobody }), 0n)
console.log('viem, dry runs: all as expected')
