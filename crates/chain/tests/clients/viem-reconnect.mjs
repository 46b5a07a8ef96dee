// viem over a WebSocket that breaks: it connects again by itself, and its subscriptions go on.
import assert from 'node:assert/strict'
import { createPublicClient, createWalletClient, webSocket } from 'viem'
import { alice, asAlice, chain, deployTill, reader } from './viem-world.mjs'
import { door, eventually, nobody } from './world.mjs'

const way = await door()
const transport = webSocket(way.url, { reconnect: { attempts: 100, delay: 20 }, keepAlive: { interval: 50 } })
const socket = createPublicClient({ chain, transport })
const writer = createWalletClient({ account: alice, chain, transport })
const deployed = await deployTill()
const seen = { numbers: [], logs: [], errors: [] }
const onError = (error) => seen.errors.push(error)
const stops = [
  socket.watchBlockNumber({ onBlockNumber: (number) => seen.numbers.push(number), onError }),
  socket.watchContractEvent({ ...deployed, eventName: 'Moved', onLogs: (logs) => seen.logs.push(...logs), onError }),
]
/** Moves until a move is heard of, which says that the subscriptions are in force. */
const heard = async (note) => {
  const moves = []
  await eventually(note, async () => {
    moves.push(await asAlice.writeContract({ ...deployed, functionName: 'move', args: [nobody, 1n, note] }))
    const { blockNumber } = await reader.waitForTransactionReceipt({ hash: moves.at(-1) })
    return seen.logs.some((log) => log.args.note === note) && seen.numbers.includes(blockNumber)
  })
}
await heard('before')
for (const time of ['first', 'second']) {
  seen.errors.length = 0
  way.slam()
  await eventually('the break', () => seen.errors.length > 0)
  await heard(`after the ${time} break`)
  // The same connection carries requests and transactions, too.
  const hash = await eventually('a request', () => writer.sendTransaction({ to: nobody, value: 5n }).catch(() => null))
  await reader.waitForTransactionReceipt({ hash })
  assert.equal(await socket.getBlockNumber({ cacheTime: 0 }), await reader.getBlockNumber({ cacheTime: 0 }))
}
// Each log came once, in order.
const places = seen.logs.map((log) => log.blockNumber)
assert.deepEqual(places, [...new Set(places)].sort((a, b) => Number(a - b)))
for (const stop of stops) stop()
const connection = await socket.transport.getRpcClient()
connection.close()
way.close()
console.log('viem, connecting again: all as expected')
