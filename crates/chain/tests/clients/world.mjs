// What every script of a JavaScript client works with: the node's address, keys that own coins, the contract.
import { readFileSync } from 'node:fs'
import net from 'node:net'

export const http = process.env.HTTP
export const ws = process.env.WS
export const chainId = Number(process.env.CHAIN_ID)
export const keys = process.env.KEYS.split(',')
export const till = JSON.parse(readFileSync(new URL('till.json', import.meta.url)))
export const nobody = '0x000000000000000000000000000000000000bEEF'

/** Waits until `ready` gives something true; a wait that takes too long is a failure. */
export async function eventually(what, ready, seconds = 30) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const found = await ready()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${seconds} s`)
    await new Promise((next) => setTimeout(next, 20))
  }
}

/** The error that `promise` must end with. */
export async function refusal(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`succeeded instead of failing: ${value}`)
}

/** A way to the node that can be cut: `url` leads through it, `slam` ends all connections, `close` the way itself. */
export async function door() {
  const target = new URL(ws)
  const pairs = new Set()
  const server = net.createServer((near) => {
    const far = net.connect(Number(target.port), target.hostname)
    const pair = [near, far]
    pairs.add(pair)
    for (const [one, other] of [pair, [far, near]]) {
      one.pipe(other)
      one.on('error', () => other.destroy())
      one.on('close', () => { other.destroy(); pairs.delete(pair) })
    }
  })
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  const slam = () => { for (const pair of pairs) for (const socket of pair) socket.destroy() }
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    slam,
    close: () => { slam(); server.close() },
  }
}
