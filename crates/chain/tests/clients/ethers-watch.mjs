// ethers 6 over WebSocket: events of blocks, contracts and pending transactions; requests on the same socket.
import assert from 'node:assert/strict'
import { ContractFactory, Wallet, WebSocketProvider } from 'ethers'
import { chainId, eventually, keys, nobody, till, ws } from './world.mjs'

const provider = new WebSocketProvider(ws, undefined, { cacheTimeout: -1 })
assert.equal((await provider.getNetwork()).chainId, BigInt(chainId))
const [alice, bob] = keys.map((key) => new Wallet(key, provider))
const contract = await (await new ContractFactory(till.abi, till.bytecode, alice).deploy(1000)).waitForDeployment()
const seen = { blocks: [], moves: [], pending: [], paid: [] }
await provider.on('block', (number) => seen.blocks.push(number))
await provider.on('pending', (hash) => seen.pending.push(hash))
await contract.on(contract.filters.Moved(null, bob), (event) => seen.moves.push(event))
await contract.on('Paid', (from, amount) => seen.paid.push([from, amount]))
await eventually('the subscriptions', async () => {
  await (await alice.sendTransaction({ to: nobody, value: 1 })).wait()
  return seen.blocks.length > 0 && seen.pending.length > 0
})
const hashes = []
for (const [to, amount] of [[bob, 1], [nobody, 2], [bob, 3]]) {
  const receipt = await (await contract.move(to, amount, 'seen')).wait()
  hashes.push(receipt.hash)
}
const paid = await (await alice.sendTransaction({ to: contract, value: 11 })).wait()
await eventually('the payment', () => seen.paid.length > 0)
assert.deepEqual(seen.paid, [[alice.address, 11n]])
await eventually('both moves', () => seen.moves.length >= 2)
assert.deepEqual(seen.moves.map((event) => event.args.amount), [1n, 3n])
assert.deepEqual(seen.moves.map((event) => event.log.transactionHash), [hashes[0], hashes[2]])
await eventually('the last block', () => seen.blocks.includes(paid.blockNumber))
await eventually('the pending hashes', () => [...hashes, paid.hash].every((hash) => seen.pending.includes(hash)))
assert.deepEqual(seen.blocks, [...seen.blocks].sort((a, b) => a - b))
// A listener that is taken off hears nothing more.
await contract.off('Paid')
await (await alice.sendTransaction({ to: contract, value: 12 })).wait()
await (await contract.move(bob, 4, 'last')).wait()
await eventually('the last move', () => seen.moves.length >= 3)
assert.equal(seen.paid.length, 1)
await provider.destroy()
console.log('ethers over WebSocket: all as expected')
