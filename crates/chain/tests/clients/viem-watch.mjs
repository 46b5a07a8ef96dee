// viem over WebSocket: heads, logs and pending transactions as they come; the same by polling over HTTP.
import assert from 'node:assert/strict'
import { createPublicClient, webSocket } from 'viem'
import { alice, asAlice, bob, chain, deployTill, reader } from './viem-world.mjs'
import { eventually, nobody, ws } from './world.mjs'

const socket = createPublicClient({ chain, transport: webSocket(ws, { reconnect: false }) })
assert.equal(await socket.getChainId(), chain.id)
const deployed = await deployTill()
const onError = (error) => { throw error }

for (const client of [socket, reader]) {
  const seen = { blocks: [], logs: [], pending: [], numbers: [] }
  const stops = [
    client.watchBlocks({ onBlock: (block) => seen.blocks.push(block), onError }),
    client.watchBlockNumber({ onBlockNumber: (number) => seen.numbers.push(number), onError }),
    client.watchContractEvent({
      ...deployed, eventName: 'Moved', args: { to: bob.address }, onLogs: (logs) => seen.logs.push(...logs), onError,
    }),
    client.watchPendingTransactions({ onTransactions: (hashes) => seen.pending.push(...hashes), onError }),
  ]
  // A subscription is in force once the node has answered; a transfer that is seen says that it has.
  const probes = []
  await eventually('the first notice', async () => {
    probes.push(await asAlice.sendTransaction({ to: nobody, value: 1n }))
    await reader.waitForTransactionReceipt({ hash: probes.at(-1) })
    return seen.blocks.length > 0 && seen.numbers.length > 0 && seen.pending.length > 0
  })
  const hashes = []
  for (const [to, amount] of [[bob.address, 1n], [nobody, 2n], [bob.address, 3n]]) {
    const hash = await asAlice.writeContract({ ...deployed, functionName: 'move', args: [to, amount, 'watched'] })
    hashes.push(hash)
    await reader.waitForTransactionReceipt({ hash })
  }
  const last = await reader.getTransactionReceipt({ hash: hashes[2] })
  await eventually('the last head', () => seen.blocks.some((block) => block.hash === last.blockHash))
  await eventually('the last number', () => seen.numbers.includes(last.blockNumber))
  await eventually('both logs', () => seen.logs.length >= 2)
  assert.deepEqual(seen.logs.map((log) => log.args.amount), [1n, 3n])
  assert.deepEqual(seen.logs.map((log) => log.transactionHash), [hashes[0], hashes[2]])
  assert.deepEqual(seen.logs[0].args, { from: alice.address, to: bob.address, amount: 1n, note: 'watched' })
  const head = seen.blocks.find((block) => block.hash === last.blockHash)
  const block = await reader.getBlock({ blockHash: last.blockHash })
  for (const field of ['number', 'parentHash', 'stateRoot', 'receiptsRoot', 'baseFeePerGas', 'timestamp', 'logsBloom']) {
    assert.deepEqual(head[field], block[field], field)
  }
  const numbers = seen.blocks.map((each) => each.number)
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => Number(a - b)))
  await eventually('the pending hashes', () => hashes.every((hash) => seen.pending.includes(hash)))
  for (const stop of stops) stop()
}
const connection = await socket.transport.getRpcClient()
connection.close()
console.log('viem, watching: all as expected')
